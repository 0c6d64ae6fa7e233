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

/** The affected frontends, each with its owner. */
function affectedBy(old: PlanText | undefined, plan: PlanText | undefined): Record<string, string> {
  const affected = new Affected();
  const change = { old: old && planOf(old), new: plan && planOf(plan) };
  const key = (change.new ?? change.old)?.key;
  assert.ok(key !== undefined);
  affected.addChanges([{ key, ...change }]);
  return ownersOf(affected);
}

function ownersOf(affected: Affected, protocol: "UDP" | "TCP" = "UDP"): Record<string, string> {
  return Object.fromEntries(frontends.flatMap((to) => {
    const frontend = affected.of("IPv4", protocol).find(flowFrom({ to }), node);
    return frontend === undefined ? [] : [[to, frontend.owner ?? "none"]];
  }));
}

const all = (owner: string) => Object.fromEntries(frontends.map((to) => [to, owner]));
const dns = "default/dns/UDP/IPv4";

Deno.test("a removed endpoint affects all frontends of its service port", () => {
  assert.deepEqual(affectedBy(text, { ...text, endpoints: ["10.1.0.1:53"] }), all(dns));
  const none = { ...text, endpoints: [], internal: "reject", external: "reject" } as const;
  assert.deepEqual(affectedBy(text, none), all(dns));
  assert.deepEqual(affectedBy(text, { ...text, endpoints: ["10.1.0.1:53", "10.1.0.2:54"] }), all(dns));
});

Deno.test("an additional endpoint affects no frontend", () => {
  assert.deepEqual(affectedBy({ ...text, endpoints: ["10.1.0.1:53"] }, text), {});
});

Deno.test("changes that apply only to new flows affect no frontend", () => {
  assert.deepEqual(affectedBy(text, { ...text, affinitySeconds: 60 }), {});
  assert.deepEqual(affectedBy(text, { ...text, external: "local" }), {});
  assert.deepEqual(affectedBy(text, { ...text, sourceRanges: ["10.0.0.0/8"] }), {});
});

Deno.test("a service that begins to be served affects earlier attempts", () => {
  const none = { ...text, endpoints: [], internal: "reject", external: "reject" } as const;
  assert.deepEqual(affectedBy(undefined, text), all(dns));
  assert.deepEqual(affectedBy(none, text), all(dns));
  assert.deepEqual(affectedBy(undefined, none), {});
});

Deno.test("a removed frontend has no owner; the others keep theirs", () => {
  assert.deepEqual(affectedBy(text, undefined), all("none"));
  const moved = affectedBy(text, { ...text, nodePort: 30054 });
  assert.equal(moved["192.0.2.10:30053"], "none");
});

Deno.test("a frontend that moves to another service belongs to that, in any order of the changes", () => {
  const from = planOf(text);
  const to = planOf({ ...text, name: "next" });
  const changes = [
    { key: from.key, old: from, new: undefined },
    { key: to.key, old: undefined, new: to },
  ];
  for (const order of [changes, changes.toReversed()]) {
    const affected = new Affected();
    affected.addChanges(order);
    assert.deepEqual(ownersOf(affected), all(to.key));
  }
});

Deno.test("TCP frontends are affected when they begin to be served, and when an endpoint is lost", () => {
  const tcp = { ...text, protocol: "TCP" } as const;
  const affected = (old: PlanText | undefined, plan: PlanText | undefined) => {
    const made = new Affected();
    const change = { old: old && planOf(old), new: plan && planOf(plan) };
    made.addChanges([{ key: planOf(tcp).key, ...change }]);
    return ownersOf(made, "TCP");
  };
  assert.deepEqual(affected(undefined, tcp), all("default/dns/TCP/IPv4"));
  assert.deepEqual(affected({ ...tcp, endpoints: ["10.1.0.1:53"] }, tcp), {});
  assert.deepEqual(affected(tcp, { ...tcp, endpoints: ["10.1.0.1:53"] }), all("default/dns/TCP/IPv4"));
  const none = { ...tcp, endpoints: [], internal: "reject", external: "reject" } as const;
  assert.deepEqual(affected(tcp, none), all("default/dns/TCP/IPv4"));
  assert.deepEqual(affected(undefined, none), {});
  assert.deepEqual(affected(tcp, undefined), {});
});

Deno.test("UDP is examined at once, TCP that begins to be served within 100 ms, a lost TCP endpoint within 1 s", () => {
  const tcp = { ...text, protocol: "TCP" } as const;
  const lost = {
    key: planOf(tcp).key,
    old: planOf(tcp),
    new: planOf({ ...tcp, endpoints: ["10.1.0.1:53"] }),
  };
  const begun = { key: planOf(tcp).key, old: undefined, new: planOf(tcp) };
  const udp = { key: planOf(text).key, old: undefined, new: planOf(text) };
  const affected = new Affected();
  affected.addChanges([lost]);
  assert.equal(affected.delayMs, 1000);
  affected.addChanges([begun]);
  affected.addChanges([lost]);
  assert.equal(affected.delayMs, 100);
  affected.addChanges([udp]);
  assert.equal(affected.delayMs, 0);
});

Deno.test("a node port is found on node addresses only", () => {
  const affected = new Affected();
  affected.addPlan(planOf(text));
  const udp = affected.of("IPv4", "UDP");
  assert.ok(udp.hasNodePorts);
  assert.ok(udp.find(flowFrom({ to: "192.0.2.10:30053" }), node));
  assert.equal(udp.find(flowFrom({ to: "203.0.113.1:30053" }), node), undefined);
  assert.equal(udp.find(flowFrom({ to: "192.0.2.10:53" }), node), undefined);
});

Deno.test("families and protocols are separate, and no change affects no frontend", () => {
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
