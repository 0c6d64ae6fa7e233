import assert from "node:assert/strict";
import { LoopbackAddresses } from "../../../../backends/userspace/listening/loopback_addresses.ts";
import { formatAddress, parseCidr } from "../../../../core/net/address.ts";
import type { ServicePortPlan } from "../../../../core/plan/plan.ts";
import { planOf } from "../../plans.ts";

const first = planOf({ name: "first", clusterIP: "10.96.0.10:80" });
const second = planOf({ name: "second", clusterIP: "10.97.0.10:80" });

function addresses(...plans: readonly ServicePortPlan[]): LoopbackAddresses {
  const range = parseCidr("127.64.0.0/16");
  assert(range !== undefined);
  const all = new LoopbackAddresses(range);
  all.replace(new Map(plans.map((plan) => [plan.key, plan])));
  return all;
}

/** The Services, with those that have the address instead. */
function owners(all: LoopbackAddresses): readonly string[] {
  const nameOf = ({ plans }: { readonly plans: ReadonlyMap<unknown, ServicePortPlan> }) =>
    [...plans.values()][0]?.name;
  return [...all.all()].map((claim) =>
    `${formatAddress(claim.loopback)} ${nameOf(claim)}${
      claim.owner === undefined ? "" : ` gives way to ${nameOf(claim.owner)}`
    }`
  );
}

const added = (plan: ServicePortPlan) => ({ key: plan.key, old: undefined, new: plan });
const removed = (plan: ServicePortPlan) => ({ key: plan.key, old: plan, new: undefined });

Deno.test("of two ClusterIPs that end in the same bits, the first one has the address; the warning names both", () => {
  const all = addresses(first, second);
  assert.deepEqual(owners(all), ["127.64.0.10 first", "127.64.0.10 second gives way to first"]);
  assert.deepEqual(all.newWarnings(), [
    "default/second (10.97.0.10) is not served on a loopback address: 127.64.0.10 is the address of default/first " +
    "(10.96.0.10), which ends in the same bits. Give --userspace-loopback a range as large as that of the ClusterIPs",
  ]);
  assert.deepEqual(all.newWarnings(), []);
});

Deno.test("among Services that become known together, the lowest ClusterIP has the address, whatever the order", () => {
  assert.deepEqual(owners(addresses(second, first)), owners(addresses(first, second)));
});

Deno.test("the second one has the address when the first one is gone, and keeps it", () => {
  const all = addresses(first, second);
  assert.deepEqual(all.update([removed(first)]), [second]);
  assert.deepEqual(owners(all), ["127.64.0.10 second"]);
  assert.deepEqual(all.update([added(first)]), []);
  assert.deepEqual(owners(all), ["127.64.0.10 second", "127.64.0.10 first gives way to second"]);
});

Deno.test("a Service keeps its address when its port gets another name", () => {
  const all = addresses(first, second);
  const renamed = planOf({ name: "first", portName: "other", clusterIP: "10.96.0.10:80" });
  assert.deepEqual(all.update([removed(first), added(renamed)]), []);
  assert.deepEqual(owners(all), ["127.64.0.10 first", "127.64.0.10 second gives way to first"]);
});

Deno.test("a Service that gets another ClusterIP gives its address up, also in a full sync", () => {
  const moved = planOf({ name: "first", clusterIP: "10.96.0.11:80" });
  for (const isFull of [false, true]) {
    const all = addresses(first, second);
    if (isFull) all.replace(new Map([moved, second].map((plan) => [plan.key, plan])));
    else assert.deepEqual(all.update([{ key: first.key, old: first, new: moved }]), [second]);
    assert.deepEqual(owners(all), ["127.64.0.10 second", "127.64.0.11 first"]);
  }
});

Deno.test("many collisions make a few warnings", () => {
  const plans = Array.from(
    { length: 10 },
    (_, index) => planOf({ name: `web-${index}`, clusterIP: `10.${96 + index}.0.10:80` }),
  );
  const warnings = addresses(...plans).newWarnings();
  assert.deepEqual([warnings.length, warnings.at(-1)], [5, "5 more"]);
});

Deno.test("SCTP, IPv6 and Services without a ClusterIP get no loopback address", () => {
  const none = [
    planOf({ clusterIP: "10.96.0.10:80", protocol: "SCTP" }),
    planOf({ clusterIP: "[fd00::10]:80" }),
    planOf({ nodePort: 30080 }),
  ];
  assert.deepEqual(owners(addresses(...none)), []);
});
