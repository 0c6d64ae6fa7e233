import assert from "node:assert/strict";
import fc from "fast-check";
import { type Address, contains, familyOf } from "../../../core/net/address.ts";
import type { EndpointSlice, EndpointTraits, Service } from "../../../core/objects/objects.ts";
import type { Endpoint, ServicePortPlan } from "../../../core/plan/plan.ts";
import { type PlanContext, planService } from "../../../core/plan/planner.ts";
import { here } from "./builders.ts";
import { anyService, anySlice } from "../../oracle/random_cluster.ts";

const anyContext = fc.record({
  families: fc.subarray(["IPv4" as const, "IPv6" as const]),
  nodeName: fc.constantFrom("here", "elsewhere"),
  zone: fc.constantFrom("a", "b", "c", ""),
  nodeAddresses: fc.constant(here.nodeAddresses),
  endsConnections: fc.boolean(),
});
const anyInput = fc.tuple(
  anyService,
  fc.uniqueArray(anySlice, { selector: (slice) => slice.name }).map((slices) =>
    slices.toSorted((a, b) => a.name < b.name ? -1 : 1)
  ),
  anyContext,
);

function idOf({ address, port }: Pick<Endpoint, "address" | "port">): string {
  return `${address}:${port}`;
}

/** All endpoints of a plan's service port, by identity, joined as docs/behaviour.md §1.4 says for this proxy. */
function endpointsOf(
  plan: ServicePortPlan,
  slices: readonly EndpointSlice[],
  here: string,
): Map<string, EndpointTraits> {
  const byIdentity = new Map<string, EndpointTraits>();
  for (const slice of slices) {
    for (const { name, protocol, port } of slice.ports) {
      for (const { address, traits } of slice.endpoints) {
        if (familyOf(address) !== plan.family || name !== plan.portName || protocol !== plan.protocol) {
          continue;
        }
        const id = idOf({ address, port });
        const earlier = byIdentity.get(id);
        if (
          earlier === undefined || stateOf(traits, here) > stateOf(earlier, here) ||
          (stateOf(traits, here) === stateOf(earlier, here) && !traits.terminating)
        ) byIdentity.set(id, traits);
      }
    }
  }
  return byIdentity;
}

/** docs/behaviour.md §3, step by step as written there, without regard to cost. */
function categorize(
  all: Map<string, EndpointTraits>,
  service: Service,
  plan: ServicePortPlan,
  context: PlanContext,
) {
  const isExternallyAccessible = plan.frontends.length > 1;
  const internalLocal = service.internalTrafficPolicy === "Local";
  const externalLocal = service.externalTrafficPolicy === "Local";
  const usesCluster = !internalLocal || isExternallyAccessible;
  const usesLocal = internalLocal || (externalLocal && isExternallyAccessible);

  const ids = [...all.keys()];
  const traits = (id: string) => all.get(id) ?? assert.fail();
  const isReady = (id: string) => traits(id).ready;
  const isST = (id: string) => traits(id).serving && traits(id).terminating;
  const isLocal = (id: string) => traits(id).nodeName === context.nodeName;
  let cluster: string[] = [], local: string[] = [], hasAny = false;
  if (ids.length > 0 && usesCluster) {
    const mode = topologyMode(ids.filter(isReady).map(traits), context);
    cluster = ids.filter((id) =>
      isReady(id) &&
      (mode === "" || (mode === "PreferSameNode"
        ? traits(id).nodeHints.includes(context.nodeName)
        : traits(id).zoneHints.includes(context.zone)))
    );
    if (cluster.length === 0) cluster = ids.filter(isST);
    hasAny = cluster.length > 0;
  }
  if (usesLocal) {
    if (ids.some((id) => isReady(id) || isST(id))) hasAny = true;
    if (ids.some((id) => isLocal(id) && isReady(id))) local = ids.filter((id) => isLocal(id) && isReady(id));
    else if (ids.some((id) => isLocal(id) && isST(id))) local = ids.filter((id) => isLocal(id) && isST(id));
  }
  return { cluster: cluster.sort(), local: local.sort(), hasAny };
}

/** docs/behaviour.md §6.3, and ready endpoints. */
function serving(plan: ServicePortPlan, slices: readonly EndpointSlice[], context: PlanContext): string[] {
  const all = [...endpointsOf(plan, slices, context.nodeName)];
  if (plan.protocol === "TCP" && context.endsConnections) return all.map(([id]) => id).sort();
  if (plan.protocol !== "UDP") return [];
  return all.filter(([, traits]) => traits.serving || traits.ready).map(([id]) => id).sort();
}

/** Duplicates are joined by state: ready, then serving and terminating, then the rest; local ones first. */
function stateOf({ ready, serving, terminating, nodeName }: EndpointTraits, here: string): string {
  const state = ready ? 2 : serving && terminating ? 1 : 0;
  return `${state} ${nodeName === here ? 1 : 0}`;
}

function topologyMode(ready: readonly EndpointTraits[], context: PlanContext): string {
  if (ready.length === 0) return "";
  if (
    ready.every((one) => one.nodeHints.length > 0) &&
    ready.some((one) => one.nodeHints.includes(context.nodeName))
  ) {
    return "PreferSameNode";
  }
  if (context.zone === "") return "";
  if (
    ready.every((one) => one.zoneHints.length > 0) &&
    ready.some((one) => one.zoneHints.includes(context.zone))
  ) {
    return "PreferSameZone";
  }
  return "";
}

Deno.test("endpoint selection agrees with a step-by-step implementation of the rules", () => {
  fc.assert(
    fc.property(anyInput, ([service, slices, context]) => {
      const own = slices.filter((slice) => slice.service === service.name);
      for (const plan of planService(service, own, context)) {
        const expected = categorize(endpointsOf(plan, own, context.nodeName), service, plan, context);
        assert.deepEqual(plan.clusterEndpoints.map(idOf).sort(), expected.cluster);
        assert.deepEqual(plan.localEndpoints.map(idOf).sort(), expected.local);
        assert.equal(plan.internal.verdict === "reject", !expected.hasAny);
        assert.deepEqual(plan.servingEndpoints.map(idOf).sort(), serving(plan, own, context));
      }
    }),
    { numRuns: 2000 },
  );
});

Deno.test("a plan satisfies what its type documents", () => {
  fc.assert(
    fc.property(anyInput, ([service, slices, context]) => {
      const plans = planService(service, slices, context);
      assert.equal(new Set(plans.map((plan) => plan.key)).size, plans.length);
      for (const plan of plans) checkPromises(plan, service, context);
    }),
    { numRuns: 2000 },
  );
});

function checkPromises(plan: ServicePortPlan, service: Service, context: PlanContext): void {
  assert.ok(context.families.includes(plan.family));
  assert.equal(plan.frontends.filter(({ kind }) => kind === "ClusterIP").length, 1);
  const frontends = plan.frontends.map((one) => `${one.kind === "NodePort" ? "" : one.address}:${one.port}`);
  assert.equal(new Set(frontends).size, frontends.length, "no frontend twice");

  for (const list of [plan.clusterEndpoints, plan.localEndpoints, plan.servingEndpoints]) {
    for (const [index, endpoint] of list.entries()) {
      assert.equal(familyOf(endpoint.address), plan.family);
      const before = list[index - 1];
      assert.ok(
        before === undefined || before.address < endpoint.address ||
          (before.address === endpoint.address && before.port < endpoint.port),
        "sorted, no duplicates",
      );
    }
  }
  assert.ok(plan.localEndpoints.every(({ isLocal }) => isLocal));
  for (const local of plan.localEndpoints) {
    const same = plan.clusterEndpoints.find((one) => idOf(one) === idOf(local));
    assert.ok(same === undefined || same === local, "lists share endpoints");
  }

  for (const route of [plan.internal, plan.external]) {
    if (route.verdict === "local-external") assert.ok(plan.clusterEndpoints.length > 0);
    if (route.verdict !== "balance") continue;
    assert.ok((route.to === "cluster" ? plan.clusterEndpoints : plan.localEndpoints).length > 0);
  }
  if (plan.frontends.length === 1) assert.equal(plan.external.verdict, "reject");

  const { sourceRanges } = plan;
  const vips = plan.frontends.flatMap((one) => one.kind === "LoadBalancerIP" ? one.address : []);
  if (sourceRanges === undefined) return;
  assert.ok(vips.length > 0 && sourceRanges.length > 0);
  assert.ok(sourceRanges.every(({ address, prefix }) => familyOf(address) === plan.family && prefix > 0));
  const admits = (source: Address) => sourceRanges.some((range) => contains(range, source));
  if (admits(context.nodeAddresses[plan.family])) assert.ok(vips.every(admits));
  for (const { address } of service.loadBalancerSourceRanges) {
    if (familyOf(address) === plan.family) assert.ok(admits(address));
  }
}
