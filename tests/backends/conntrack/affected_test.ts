import assert from "node:assert/strict";
import { Affected } from "../../../backends/conntrack/affected.ts";
import type { ServicePortPlan } from "../../../core/plan/plan.ts";
import { addressOf, planOf, type PlanText } from "../plans.ts";
import { flowFrom } from "./flows.ts";

const text: PlanText = {
  name: "dns",
  portName: "",
  protocol: "UDP",
  clusterIP: "10.96.0.10:53",
  loadBalancerIPs: ["198.51.100.10:53"],
  nodePort: 30053,
  endpoints: ["10.1.0.1:53", "10.1.0.2:53"],
};
const node = new Set([addressOf("192.0.2.10")]);
const frontends = ["10.96.0.10:53", "198.51.100.10:53", "192.0.2.10:30053"];

/** Which of the frontends are to be looked at, and whose they are. */
function affectedBy(old: PlanText | undefined, plan: PlanText | undefined): Record<string, string> {
  const affected = new Affected();
  const change = { old: old && planOf(old), new: plan && planOf(plan) };
  const key = (change.new ?? change.old)?.key;
  assert.ok(key !== undefined);
  affected.addChanges([{ key, ...change }]);
  return found(affected);
}

function found(affected: Affected, protocol: "UDP" | "TCP" = "UDP"): Record<string, string> {
  return Object.fromEntries(frontends.flatMap((to) => {
    const frontend = affected.of("IPv4", protocol).find(flowFrom({ to }), node);
    return frontend === undefined ? [] : [[to, frontend.holder ?? "nobody"]];
  }));
}

const all = (holder: string) => Object.fromEntries(frontends.map((to) => [to, holder]));
const dns = "default/dns/UDP/IPv4";

Deno.test("an endpoint that goes concerns all frontends of its service port", () => {
  assert.deepEqual(affectedBy(text, { ...text, endpoints: ["10.1.0.1:53"] }), all(dns));
  const none = { ...text, endpoints: [], internal: "reject", external: "reject" } as const;
  assert.deepEqual(affectedBy(text, none), all(dns));
  assert.deepEqual(affectedBy(text, { ...text, endpoints: ["10.1.0.1:53", "10.1.0.2:54"] }), all(dns));
});

Deno.test("an endpoint that comes to others concerns nobody", () => {
  assert.deepEqual(affectedBy({ ...text, endpoints: ["10.1.0.1:53"] }, text), {});
});

Deno.test("what new flows do concerns no old ones", () => {
  assert.deepEqual(affectedBy(text, { ...text, affinitySeconds: 60 }), {});
  assert.deepEqual(affectedBy(text, { ...text, external: "local" }), {});
  assert.deepEqual(affectedBy(text, { ...text, sourceRanges: ["10.0.0.0/8"] }), {});
});

Deno.test("a service that begins to be served concerns those who tried before", () => {
  const none = { ...text, endpoints: [], internal: "reject", external: "reject" } as const;
  assert.deepEqual(affectedBy(undefined, text), all(dns));
  assert.deepEqual(affectedBy(none, text), all(dns));
  assert.deepEqual(affectedBy(undefined, none), {});
});

Deno.test("a frontend that goes is nobody's; the others stay as they are", () => {
  assert.deepEqual(affectedBy(text, undefined), all("nobody"));
  const moved = affectedBy(text, { ...text, nodePort: 30054 });
  assert.equal(moved["192.0.2.10:30053"], "nobody");
});

Deno.test("a frontend that moves is its new holder's, in whatever order the changes come", () => {
  const from = planOf(text);
  const to = planOf({ ...text, name: "next" });
  const changes = [
    { key: from.key, old: from, new: undefined },
    { key: to.key, old: undefined, new: to },
  ];
  for (const order of [changes, changes.toReversed()]) {
    const affected = new Affected();
    affected.addChanges(order);
    assert.deepEqual(found(affected), all(to.key));
  }
});

Deno.test("TCP is looked at when it begins to be served, and never otherwise", () => {
  const tcp = { ...text, protocol: "TCP" } as const;
  const affected = (old: PlanText | undefined, plan: PlanText | undefined) => {
    const made = new Affected();
    const change = { old: old && planOf(old), new: plan && planOf(plan) };
    made.addChanges([{ key: planOf(tcp).key, ...change }]);
    return found(made, "TCP");
  };
  assert.deepEqual(affected(undefined, tcp), all("default/dns/TCP/IPv4"));
  assert.deepEqual(affected(tcp, { ...tcp, endpoints: ["10.1.0.1:53"] }), {});
  assert.deepEqual(affected(tcp, undefined), {});
  // Of a service that is served in part, what is not is left alone.
  const inPart = affected(undefined, { ...tcp, internal: "drop" });
  assert.deepEqual(Object.keys(inPart), ["198.51.100.10:53", "192.0.2.10:30053"]);
});

Deno.test("a node port is one on the node's addresses only", () => {
  const affected = new Affected();
  affected.addPlan(planOf(text));
  const udp = affected.of("IPv4", "UDP");
  assert.ok(udp.hasNodePorts);
  assert.ok(udp.find(flowFrom({ to: "192.0.2.10:30053" }), node));
  assert.equal(udp.find(flowFrom({ to: "203.0.113.1:30053" }), node), undefined);
  assert.equal(udp.find(flowFrom({ to: "192.0.2.10:53" }), node), undefined);
});

Deno.test("families and protocols are apart, and nothing is nothing", () => {
  const affected = new Affected();
  affected.addChanges([]);
  assert.ok(affected.isEmpty);
  const sctp: ServicePortPlan = planOf({ ...text, protocol: "SCTP" });
  affected.addPlan(sctp);
  assert.ok(affected.isEmpty);
  affected.addPlan(planOf({ protocol: "UDP", clusterIP: "[fd00:96::a]:53", endpoints: ["[fd00::1]:53"] }));
  assert.ok(!affected.isEmpty && affected.of("IPv4", "UDP").isEmpty && affected.of("IPv6", "TCP").isEmpty);
  assert.ok(affected.of("IPv6", "UDP").find(flowFrom({ to: "[fd00:96::a]:53" }), new Set()));
});
