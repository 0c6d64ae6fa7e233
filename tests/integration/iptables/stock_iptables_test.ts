import assert from "node:assert/strict";
import { stringify } from "yaml";
import { FAMILIES } from "../../../core/net/protocol.ts";
import { cluster, commentOfMarker, marker } from "./support/cluster.ts";
import { Ours } from "./support/compared_proxies.ts";
import { compared, type Listing, normalised, parseListing } from "./support/listing.ts";
import { NodeNamespace } from "./support/node_namespace.ts";
import { variants } from "./support/variants.ts";

/** Tests of stock iptables 1.8.9 with rules that mode iptables wrote. */

const commands = { IPv4: "iptables", IPv6: "ip6tables" } as const;

Deno.test("iptables-restore makes the same rules from what iptables-save prints", async () => {
  await using node = await programmed();
  // Makes the packet counters that rules name, which the kernel keeps independently of the rules.
  await using other = await programmed();
  await other.forget();
  for (const family of FAMILIES) {
    const text = await node.save(commands[family]);
    await restore(other, `${commands[family]}-nft-restore`, text);
    const again = await other.save(commands[family]);
    mustBeSame(parseListing(text), parseListing(again));
  }
});

Deno.test("iptables -D finds every rule of mode iptables by its text, and -C its jumps", async () => {
  await using node = await programmed();
  const listings = await node.listings();
  for (const family of FAMILIES) {
    const rules = [...listings[family]].flatMap(([chain, { rules }]) =>
      rules.map((rule) => ({ chain, rule }))
    );
    const jumps = rules.filter(({ chain }) =>
      /^\w+ (INPUT|OUTPUT|FORWARD|PREROUTING|POSTROUTING)$/.test(chain)
    );
    assert.ok(jumps.length >= 12 && rules.length > 500);
    for (const { chain, rule } of jumps) {
      const [table, name] = chain.split(" ");
      const check = `${commands[family]}-nft -w -t ${table} -C ${name} ${rule}`;
      assert.deepEqual((await node.run("node", ["sh", "-c", check])).stderr, "", check);
    }
    const deleting = [...Map.groupBy(rules, ({ chain }) => chain.split(" ")[0])].map(
      ([table, rules]) => {
        const lines = rules.map(({ chain, rule }) => `-D ${chain.split(" ")[1]} ${asWritten(rule)}\n`);
        return `*${table}\n${lines.join("")}COMMIT\n`;
      },
    );
    await restore(node, `${commands[family]}-nft-restore --noflush`, deleting.join(""));
  }
  const left = Object.values(await node.listings()).flatMap((listing) => [...listing.values()]);
  assert.deepEqual(left.flatMap(({ rules }) => rules), []);
});

/**
 * The text of a rule for iptables -D. iptables lists `-m recent` with a mask. The mask in the text has 4
 * bytes, and that of a rule that was written without one, such as kube-proxy's, has 16. Neither is found by
 * the text with a mask.
 */
function asWritten(rule: string): string {
  return rule.replace(/ --mask \S+/, "");
}

/** A node with the rules of the cluster. Our proxy programmed them and has ended. */
async function programmed(): Promise<NodeNamespace> {
  await using owned = new AsyncDisposableStack();
  const node = owned.use(await NodeNamespace.make());
  const ours = new Ours(node);
  ours.publish([...cluster, ...marker(1)].map((object) => "---\n" + stringify(object)).join(""));
  {
    await using proxy = ours.start(variants[0]!.flags);
    await proxy.untilHas(commentOfMarker(1));
  }
  owned.move();
  return node;
}

async function restore(node: NodeNamespace, command: string, text: string): Promise<void> {
  const file = `${node.directory}/listing`;
  await Deno.writeTextFile(file, text);
  const { code, stderr } = await node.run("node", ["sh", "-c", `${command} <${file}`]);
  assert.deepEqual({ code, stderr }, { code: 0, stderr: "" }, command);
}

function mustBeSame(one: Listing, other: Listing): void {
  const differences = compared(normalised(one), normalised(other));
  assert.deepEqual(differences.slice(0, 10), []);
}
