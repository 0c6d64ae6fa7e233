import assert from "node:assert/strict";
import type { ServicePortPlan } from "../../../core/plan/plan.ts";
import { planOf } from "../../backends/plans.ts";
import { BackendProcess } from "../support/backend_process.ts";
import { NetworkNamespace } from "../support/network_namespace.ts";
import { mustBeSame, savedRules, withoutOrderOfJumps } from "./support/saved_rules.ts";

/** A service whose 200 ports have 25 addresses each: 5,000 rules in KUBE-SERVICES. */
const wide = Array.from({ length: 200 }, (_, port) => wideOf(port));
const withoutEndpoints = wide.map((plan): ServicePortPlan => ({
  ...plan,
  internal: { verdict: "reject" },
  external: { verdict: "reject" },
  clusterEndpoints: [],
}));

/** Services with every protocol, and with rules of table filter, because those of SCTP need NFTA_RULE_COMPAT. */
const others = (["TCP", "UDP", "SCTP"] as const).flatMap((protocol) => {
  const text = { portName: protocol.toLowerCase(), protocol, externalIPs: ["192.0.2.1:53"], nodePort: 30053 };
  return [
    planOf({ ...text, name: "other", clusterIP: "10.97.0.1:53" }),
    planOf({
      ...text,
      name: "other",
      clusterIP: "[fd00:97::1]:53",
      endpoints: ["[fd00::1]:53"],
      externalIPs: [],
    }),
    planOf({
      ...text,
      name: "none",
      clusterIP: "10.97.0.2:53",
      endpoints: [],
      externalIPs: ["192.0.2.2:53"],
      nodePort: 30054,
      internal: "reject",
      external: "reject",
    }),
  ];
});

/** Foreign rules, among them some that the kernel rejects without the protocol. Each has a place and a counter. */
const foreign = [
  "-c 5 500 -p tcp -m multiport --dports 5,6 -j RETURN",
  "-c 6 600 ! -p tcp -m limit --limit 3/hour -j RETURN",
  "-c 7 700 -p udp -m udp --sport 7 -j RETURN",
  "-c 8 800 -p sctp -m sctp --dport 8 -j RETURN",
  "-c 9 900 -s 192.0.2.9 -i eth9 -m comment --comment nine -j RETURN",
  "-c 10 1000 -p icmp -m icmp --icmp-type 8 -j RETURN",
];

Deno.test("rules that stay when thousands of others of their chain are deleted keep their order and counters", async () => {
  await using node = await NetworkNamespace.make();
  await using backend = new BackendProcess("iptables", node);
  await backend.reconcile([...others.slice(0, 4), ...wide, ...others.slice(4)]);
  for (const [index, rule] of foreign.entries()) await insert(node, 900 * index + 2, rule);
  const before = await services(node);
  assert.equal(before.filter((rule) => /"default\/wide:/.test(rule)).length, 5000);
  const stay = before.filter((rule) => !/"default\/wide:/.test(rule));
  const handles = await handlesOf(node);

  await backend.apply(wide.map((plan) => ({ key: plan.key, old: plan, new: undefined })));
  assert.deepEqual(await services(node), stay);
  const kept = (await handlesOf(node)).filter((handle) => handles.includes(handle));
  assert.deepEqual(kept, [], "the chain was written again");
  for (const rule of foreign) {
    await node.run("iptables-nft", ..."-t nat -D KUBE-SERVICES".split(" "), ...args(rule));
  }
  assert.deepEqual((await backend.reconcile(others)).differences, []);
});

Deno.test("deleting thousands of rules leads to the same rules as never having had them", async () => {
  await using node = await NetworkNamespace.make();
  await using backend = new BackendProcess("iptables", node);
  const rules = async () => withoutOrderOfJumps(await savedRules(node));
  await backend.reconcile(others);
  const expected = await rules();
  await backend.reconcile([...others, ...wide]);
  const withWide = await rules();
  assert.ok(withWide.length > expected.length + 5000);

  const change = (from: readonly ServicePortPlan[], to?: readonly ServicePortPlan[]) =>
    backend.apply(from.map((old, index) => ({ key: old.key, old, new: to?.[index] })));
  await change(wide, withoutEndpoints);
  const rejecting = await rules();
  assert.equal(rejecting.filter((rule) => /"default\/wide:.* has no endpoints"/.test(rule)).length, 5000);
  await change(withoutEndpoints, wide);
  mustBeSame(await rules(), withWide, "after the endpoints came back");
  await change(wide);
  mustBeSame(await rules(), expected, "after the service was deleted");

  await backend.reconcile([...others, ...wide]);
  await backend.reconcile(others);
  mustBeSame(await rules(), expected, "after a reconcile");
  assert.deepEqual((await backend.reconcile(others)).differences, []);
});

Deno.test("rules are deleted one by one if the kernel rejects another rule of their chain when it is added again", async () => {
  await using node = await NetworkNamespace.make();
  await using backend = new BackendProcess("iptables", node);
  await backend.reconcile([...others, ...wide]);
  // The set belongs to the rule, so that a second rule cannot refer to it.
  await node.run("nft", "insert rule ip nat KUBE-SERVICES tcp dport { 5, 6 } counter return");
  const handles = await handlesOf(node);
  await backend.apply(wide.map((plan) => ({ key: plan.key, old: plan, new: undefined })));
  const left = await handlesOf(node);
  assert.equal(left.length, handles.length - 5000);
  assert.deepEqual(left.filter((handle) => !handles.includes(handle)), []);
  assert.match(await node.run("nft", "list chain ip nat KUBE-SERVICES"), /tcp dport \{ 5, 6 \}/);
});

function wideOf(port: number): ServicePortPlan {
  const socket = (address: string) => `${address}:${10_000 + port}`;
  return planOf({
    name: "wide",
    portName: `port-${port}`,
    clusterIP: socket("10.96.0.10"),
    externalIPs: Array.from({ length: 24 }, (_, index) => socket(`203.0.113.${index + 1}`)),
  });
}

/** The rules of KUBE-SERVICES in table ip nat with their counters, in order. */
async function services(node: NetworkNamespace): Promise<readonly string[]> {
  const saved = await node.run("iptables-nft-save", "-c", "-t", "nat");
  return saved.split("\n").filter((line) => /^\[\d+:\d+\] -A KUBE-SERVICES /.test(line));
}

async function handlesOf(node: NetworkNamespace): Promise<readonly string[]> {
  const listed = await node.run("nft", "-a", "list chain ip nat KUBE-SERVICES");
  return [...listed.matchAll(/^\t\t.* # handle (\d+)$/gm)].map(([, handle]) => handle ?? "");
}

async function insert(node: NetworkNamespace, place: number, rule: string): Promise<void> {
  await node.run("iptables-nft", "-t", "nat", "-I", "KUBE-SERVICES", String(place), ...rule.split(" "));
}

/** A rule without its counter. */
function args(rule: string): readonly string[] {
  return rule.split(" ").slice(3);
}
