import assert from "node:assert/strict";
import { serviceChain } from "../../backends/iptables/support/chain_names.ts";
import { planOf } from "../../backends/plans.ts";
import { Node } from "../cli/support/node.ts";
import type { NetworkNamespace } from "../support/network_namespace.ts";
import { compared } from "./support/listing.ts";
import { savedRules, withoutOrderOfJumps } from "./support/saved_rules.ts";
import { of, web } from "./support/services.ts";

/** Most repairs take little more than the pause between two of them, which is half a second. */
const MAX_MEDIAN_REPAIR_MS = 3000;

/** A single one may wait for other work of the machine. */
const MAX_REPAIR_MS = 20_000;

/** A repair that lasts for two seconds is not undone. */
const LASTING_MS = 2500;

const one = serviceChain("KUBE-SVC-", planOf({ name: "one", portName: "", clusterIP: "10.96.0.1:80" }));

interface Disturbance {
  /** A shell command. */
  readonly command: string;
  /** The chains that the command changes. The rules of all other chains must not be rewritten. */
  readonly touches: RegExp;
}

const disturbances: readonly Disturbance[] = [
  { command: "iptables -F", touches: /^ip filter / },
  { command: "iptables -t nat -F", touches: /^ip nat / },
  { command: "printf '*nat\\n-F\\n-X\\nCOMMIT\\n' | ip6tables-restore --noflush", touches: /^ip6 nat / },
  { command: "iptables -t mangle -X", touches: /^ip mangle / },
  { command: `iptables -t nat -D ${one} 1`, touches: new RegExp(`^ip nat ${one}$`) },
  { command: `iptables -t nat -I ${one} -j RETURN`, touches: new RegExp(`^ip nat ${one}$`) },
  { command: `iptables -t nat -A ${one} -j RETURN`, touches: new RegExp(`^ip nat ${one}$`) },
  { command: `ip6tables -t nat -R ${one} 1 -j RETURN`, touches: new RegExp(`^ip6 nat ${one}$`) },
  { command: "iptables -t nat -D KUBE-SERVICES 1", touches: /^ip nat KUBE-SERVICES$/ },
  { command: "iptables -t nat -A KUBE-SERVICES -j RETURN", touches: /^ip nat KUBE-SERVICES$/ },
  { command: "iptables -t nat -D PREROUTING 1", touches: /^ip nat PREROUTING$/ },
  { command: "ip6tables -D FORWARD 2", touches: /^ip6 filter FORWARD$/ },
  { command: "nft 'flush chain ip nat OUTPUT; delete chain ip nat OUTPUT'", touches: /^ip nat OUTPUT$/ },
  { command: "iptables -D KUBE-FIREWALL 1", touches: /^ip filter KUBE-FIREWALL$/ },
  {
    command: "printf '*nat\\n:MINE - [0:0]\\n-A MINE -j RETURN\\nCOMMIT\\n' | iptables-restore",
    touches: /^ip nat /,
  },
  { command: "nft delete table ip6 nat", touches: /^ip6 nat / },
  { command: "nft flush ruleset", touches: / / },
];

Deno.test("foreign changes of our rules are undone soon, and nothing else is written", async (t) => {
  await using node = await Node.make();
  const { namespace } = node;
  await node.write("services.json", [
    ...of({ name: "one" }, ["10.244.1.11", "10.244.1.12"]),
    ...of({ name: "other", type: "NodePort", ports: [{ ...web, nodePort: 30080 }] }, ["10.244.1.11"]),
    ...of({ name: "none" }, []),
  ]);
  await using proxy = node.start("--proxy-mode=iptables");
  await proxy.inForce();
  const expected = await settled(namespace);
  assert.ok(expected.length > 100);
  const durations: number[] = [];
  for (const [index, { command, touches }] of disturbances.entries()) {
    // A program that undoes ten repairs in a row is repaired more rarely.
    if (index % 8 === 7) await new Promise((resolve) => setTimeout(resolve, LASTING_MS));
    await t.step(command, async () => {
      const before = await handles(namespace);
      await namespace.run("sh", "-c", flavoured(command));
      const began = performance.now();
      const differences = async () => compared(expected, await settled(namespace));
      while ((await differences()).length > 0) {
        const ms = performance.now() - began;
        assert.ok(ms < MAX_REPAIR_MS, `after ${ms.toFixed(0)} ms: ${(await differences()).join("\n")}`);
      }
      durations.push(performance.now() - began);
      const after = await handles(namespace);
      for (const [chain, ofChain] of before) {
        if (!touches.test(chain)) assert.equal(after.get(chain), ofChain, chain);
      }
    });
  }
  const median = durations.toSorted((a, b) => a - b)[Math.floor(durations.length / 2)]!;
  assert.ok(median < MAX_MEDIAN_REPAIR_MS, `half of the repairs take ${median.toFixed(0)} ms or more`);
  await t.step("one repair per change, and no other", async () => {
    await pause();
    assert.equal(repairs(proxy.log).length, disturbances.length, repairs(proxy.log).join("\n"));
  });
});

Deno.test("foreign changes of foreign rules cause no repair", async () => {
  await using node = await Node.make();
  const { namespace } = node;
  await node.write("services.json", of({ name: "one" }, ["10.244.1.11"]));
  await using proxy = node.start("--proxy-mode=iptables");
  await proxy.inForce();
  const before = await settled(namespace);
  const rule = "-m addrtype --dst-type LOCAL -j DOCKER";
  for (
    const command of [
      "iptables -t nat -N DOCKER",
      "iptables -t nat -A DOCKER -i docker0 -j RETURN",
      `iptables -t nat -I PREROUTING ${rule}`,
      `iptables -t nat -A PREROUTING ${rule}`,
      `iptables -t nat -D PREROUTING ${rule}`,
      `iptables -t nat -D PREROUTING ${rule}`,
      "iptables -t nat -F DOCKER",
      "iptables -t nat -X DOCKER",
      "iptables -A KUBE-FIREWALL -s 192.0.2.1 -j DROP",
      "iptables -D KUBE-FIREWALL -s 192.0.2.1 -j DROP",
      "iptables -t raw -A PREROUTING -j ACCEPT",
      "nft flush table ip raw",
      "nft add table inet firewall",
      "nft delete table inet firewall",
    ]
  ) await namespace.run("sh", "-c", flavoured(command));
  await pause();
  assert.deepEqual(repairs(proxy.log), []);
  assert.deepEqual(compared(before, await settled(namespace)), []);
});

/** Log lines of reconciles after the first one. */
function repairs(log: string): readonly string[] {
  return log.split("\n").filter((line) => /Reconciled the kernel with the plans/.test(line)).slice(1);
}

/** Waits longer than the pause between two repairs. */
async function pause(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 800));
}

/** The rules, without those that the commands added to foreign chains. */
async function settled(namespace: NetworkNamespace): Promise<readonly string[]> {
  return withoutOrderOfJumps((await savedRules(namespace)).filter((line) => !/ MINE|\/raw /.test(line)));
}

/** Handles of the rules of each chain. A rule that is rewritten gets another handle. */
async function handles(namespace: NetworkNamespace): Promise<ReadonlyMap<string, string>> {
  const chains = new Map<string, string>();
  let [table, chain] = ["", ""];
  for (const line of (await namespace.run("nft", "--handle", "list", "ruleset")).split("\n")) {
    table = /^table (\S+ \S+) \{/.exec(line)?.[1] ?? table;
    const name = /^\tchain (\S+) \{/.exec(line)?.[1];
    if (name !== undefined) chain = `${table} ${name}`;
    const handle = /^\t\t.* # handle (\d+)$/.exec(line)?.[1];
    if (handle !== undefined) chains.set(chain, `${chains.get(chain) ?? ""} ${handle}`);
  }
  return chains;
}

/** Uses the nf_tables flavour, independently of the alternative that is installed. */
function flavoured(command: string): string {
  return command.replaceAll(/\b(ip6?tables)(-restore)?\b/g, "$1-nft$2");
}
