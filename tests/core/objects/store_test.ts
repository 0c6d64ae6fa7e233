import assert from "node:assert/strict";
import fc from "fast-check";
import { formatCidr } from "../../../core/net/address.ts";
import { detectNodeAddresses } from "../../../core/plan/node_settings.ts";
import type { ModelObject, ObjectRef } from "../../../core/objects/objects.ts";
import { planService } from "../../../core/plan/planner.ts";
import { Store } from "../../../core/objects/store.ts";
import { address, aService, aSlice, cidr } from "../plan/builders.ts";
import { anyNode, anyService, anySlice } from "../../oracle/random_cluster.ts";

const nothing = { services: [], node: false, serviceCidrs: false };
const webDirty = { ...nothing, services: ["default/web"] };

function refTo(object: ModelObject): ObjectRef {
  return { kind: object.kind, namespace: "namespace" in object ? object.namespace : "", name: object.name };
}

/** The own Node. */
const node = {
  kind: "Node",
  name: "here",
  zone: "a",
  addresses: [],
  podCidrs: [],
  eligible: true,
} as const;

Deno.test("a Service and its slices are joined in whatever order they arrive", () => {
  const service = aService(), one = aSlice([{ at: "10.1.0.1" }]), other = aSlice([], { name: "web-0" });
  const store = new Store("here");
  assert.deepEqual(store.upsert(one), nothing, "no Service uses it yet");
  assert.equal(store.get("default/web"), undefined);
  assert.deepEqual(store.upsert(service), webDirty);
  assert.deepEqual(store.upsert(other), webDirty);
  assert.deepEqual(store.get("default/web"), { service, slices: [other, one] });
  assert.deepEqual([...store.serviceNames()], ["default/web"]);
});

Deno.test("known objects are counted by kind; a slice counts before its Service is known", () => {
  const store = new Store("here");
  assert.deepEqual(store.counts, { Service: 0, EndpointSlice: 0, Node: 0, ServiceCIDR: 0 });
  store.upsert(aSlice([]));
  store.upsert(node);
  store.upsert({ kind: "ServiceCIDR", name: "kubernetes", cidrs: [cidr("10.96.0.0/16")] });
  assert.deepEqual(store.counts, { Service: 0, EndpointSlice: 1, Node: 1, ServiceCIDR: 1 });
  store.upsert(aService());
  assert.equal(store.counts.Service, 1);
  store.upsert({ ...aService(), affinitySeconds: 1 });
  assert.equal(store.counts.Service, 1);
  store.delete(refTo(aService()));
  store.delete(refTo(aService()));
  assert.equal(store.counts.Service, 0);
});

Deno.test("endpoints are counted as slices come, change and go", () => {
  const store = new Store("here");
  const [one, two, three] = ["10.1.0.1", "10.1.0.2", "10.1.0.3"].map((at) => ({ at }));
  assert.ok(one !== undefined && two !== undefined && three !== undefined);
  store.upsert(aSlice([one, two]));
  assert.equal(store.endpointCount, 2);
  store.upsert(aSlice([one, two]));
  assert.equal(store.endpointCount, 2);
  store.upsert(aSlice([three]));
  assert.equal(store.endpointCount, 1);
  store.upsert({ ...aSlice([one, two]), name: "other" });
  assert.equal(store.endpointCount, 3);
  store.upsert({ ...aSlice([three]), service: "moved" });
  assert.equal(store.endpointCount, 3);
  store.delete(refTo(aSlice([])));
  store.delete(refTo(aSlice([])));
  assert.equal(store.endpointCount, 2);
});

Deno.test("objects that a resync repeats change nothing", () => {
  const store = new Store("here");
  const cidrs = { kind: "ServiceCIDR", name: "k", cidrs: [cidr("10.96.0.0/16")] } as const;
  const objects = [aService(), aSlice([{ at: "10.1.0.1", nodeName: "here" }]), node, cidrs];
  for (const object of objects) assert.notDeepEqual(store.upsert(structuredClone(object)), nothing);
  for (const object of objects) assert.deepEqual(store.upsert(structuredClone(object)), nothing, object.kind);
  assert.deepEqual(
    store.upsert({ ...aSlice([{ at: "10.1.0.1", nodeName: "here" }]), triggerTime: 5 }),
    nothing,
  );
});

Deno.test("every relevant change of an object is detected", () => {
  const service = aService(), slice = aSlice([{ at: "10.1.0.1" }]);
  const changed: readonly ModelObject[] = [
    aService({ created: "2027-01-01T00:00:00Z" }),
    aService({ affinitySeconds: 1 }),
    aService({ externalTrafficPolicy: "Local" }),
    aService({ internalTrafficPolicy: "Local" }),
    aService({ healthCheckNodePort: 1 }),
    aService({ weight: 2 }),
    aService({ balancing: "maglev" }),
    aService({ proxyProtocol: true }),
    aService({ clusterIPs: [] }),
    aService({ externalIPs: service.clusterIPs }),
    aService({ loadBalancerIPs: service.clusterIPs }),
    aService({ loadBalancerSourceRanges: [cidr("10.0.0.0/8")] }),
    aService({ ports: service.ports.map((port) => ({ ...port, nodePort: 1 })) }),
    aService({ ports: service.ports.map((port) => ({ ...port, port: 1 })) }),
    aSlice([]),
    aSlice([{ at: "10.1.0.2" }]),
    aSlice([{ at: "10.1.0.1", ready: false }]),
    aSlice([{ at: "10.1.0.1", serving: false }]),
    aSlice([{ at: "10.1.0.1", terminating: true }]),
    aSlice([{ at: "10.1.0.1", nodeName: "here" }]),
    aSlice([{ at: "10.1.0.1", zoneHints: ["a"] }]),
    aSlice([{ at: "10.1.0.1", nodeHints: ["a"] }]),
    { ...slice, ports: [{ name: "http", protocol: "UDP", port: 8080 }] },
    { ...slice, ports: [] },
    { ...slice, weight: 1 },
  ];
  for (const object of changed) {
    const store = new Store("here");
    store.upsert(service);
    store.upsert(slice);
    assert.deepEqual(store.upsert(object), webDirty, JSON.stringify(object));
  }
});

Deno.test("a slice that changes its service is a change of both", () => {
  const store = new Store("here");
  store.upsert(aService());
  store.upsert(aService({ name: "api" }));
  store.upsert(aSlice([{ at: "10.1.0.1" }]));
  const moved = aSlice([{ at: "10.1.0.1" }], { service: "api" });
  assert.deepEqual(store.upsert(moved), { ...nothing, services: ["default/web", "default/api"] });
  assert.deepEqual(store.get("default/web")?.slices, []);
  assert.deepEqual(store.get("default/api")?.slices, [moved]);
});

Deno.test("a delete is detected once; unknown refs are no error", () => {
  const store = new Store("here");
  const service = aService(), slice = aSlice([{ at: "10.1.0.1" }]);
  store.upsert(service);
  store.upsert(slice);
  assert.deepEqual(store.delete(refTo(slice)), webDirty);
  assert.deepEqual(store.delete(refTo(slice)), nothing);
  assert.deepEqual(store.delete(refTo(service)), webDirty);
  assert.deepEqual(store.delete(refTo(service)), nothing);
  assert.deepEqual(store.delete({ kind: "ServiceCIDR", namespace: "", name: "k" }), nothing);
  assert.deepEqual(store.delete({ kind: "Node", namespace: "", name: "here" }), nothing);
});

Deno.test("a Service that is created again gets its slices", () => {
  const store = new Store("here");
  const service = aService(), slice = aSlice([{ at: "10.1.0.1" }]);
  store.upsert(service);
  store.upsert(slice);
  store.delete(refTo(service));
  store.upsert(service);
  assert.deepEqual(store.get("default/web")?.slices, [slice]);
});

Deno.test("Node objects of other nodes are ignored", () => {
  const store = new Store("here");
  assert.deepEqual(store.upsert({ ...node, name: "there" }), nothing);
  assert.deepEqual(store.upsert(node), { ...nothing, node: true });
  assert.deepEqual(store.upsert({ ...node, zone: "b" }), { ...nothing, node: true });
  assert.deepEqual(store.delete({ kind: "Node", namespace: "", name: "there" }), nothing);
  assert.equal(store.node?.zone, "b");
});

Deno.test("a deleted node keeps its last state, except that it is not eligible, until it is created again", () => {
  const store = new Store("here");
  const ref = { kind: "Node", namespace: "", name: "here" } as const;
  assert.deepEqual(store.delete(ref), nothing);
  store.upsert(node);
  assert.deepEqual(store.delete(ref), { ...nothing, node: true });
  assert.deepEqual(store.node, { ...node, eligible: false });
  assert.deepEqual(store.delete(ref), nothing);
  assert.deepEqual(store.upsert(node), { ...nothing, node: true });
  assert.equal(store.node?.eligible, true);
});

Deno.test("a Node that is created again without addresses and ranges keeps those that were known", () => {
  const store = new Store("here");
  const ranges = [cidr("10.1.0.0/24")];
  store.upsert({ ...node, addresses: [], podCidrs: [] });
  assert.deepEqual(store.node?.addresses, []);
  store.upsert({ ...node, addresses: [address("192.0.2.1")], podCidrs: ranges });
  assert.deepEqual(store.upsert({ ...node, addresses: [], podCidrs: [] }), nothing);
  assert.deepEqual(store.upsert({ ...node, zone: "b", addresses: [], podCidrs: [] }), {
    ...nothing,
    node: true,
  });
  assert.deepEqual(store.node, { ...node, zone: "b", addresses: [address("192.0.2.1")], podCidrs: ranges });
  store.upsert({ ...node, addresses: [address("192.0.2.2")], podCidrs: [] });
  assert.deepEqual(store.node?.addresses, [address("192.0.2.2")]);
});

Deno.test("service ranges are collected from all ServiceCIDR objects", () => {
  const store = new Store("here");
  const changed = { ...nothing, serviceCidrs: true };
  assert.deepEqual(store.upsert({ kind: "ServiceCIDR", name: "a", cidrs: [cidr("10.96.0.0/16")] }), changed);
  assert.deepEqual(store.upsert({ kind: "ServiceCIDR", name: "b", cidrs: [cidr("fd00::/108")] }), changed);
  assert.deepEqual(store.serviceCidrs.map(formatCidr), ["10.96.0.0/16", "fd00::/108"]);
  assert.deepEqual(store.delete({ kind: "ServiceCIDR", namespace: "", name: "a" }), changed);
  assert.deepEqual(store.serviceCidrs.map(formatCidr), ["fd00::/108"]);
});

Deno.test("services are sorted by age, then by name; deleted ones come first", () => {
  const store = new Store("here");
  store.upsert(aService({ name: "young", created: "2026-03-01T00:00:00Z" }));
  store.upsert(aService({ name: "old-b", created: "2026-01-01T00:00:00Z" }));
  store.upsert(aService({ name: "old-a", created: "2026-01-01T00:00:00Z" }));
  assert.deepEqual(store.inOrderOfAge(["default/young", "default/gone", "default/old-b", "default/old-a"]), [
    "default/gone",
    "default/old-a",
    "default/old-b",
    "default/young",
  ]);
});

type Event = { readonly upsert: ModelObject } | { readonly delete: ObjectRef };

function apply(events: readonly Event[]): Store {
  const store = new Store("here");
  for (const event of events) {
    if ("upsert" in event) store.upsert(event.upsert);
    else store.delete(event.delete);
  }
  return store;
}

function plansOf(store: Store) {
  const nodeAddresses = detectNodeAddresses(store.node, undefined);
  const context = {
    families: ["IPv4", "IPv6"],
    nodeName: "here",
    zone: store.node?.zone ?? "",
    nodeAddresses,
    endsConnections: false,
  } as const;
  const names = [...store.serviceNames()].sort();
  return names.map((name) => {
    const joined = store.get(name);
    return joined === undefined ? [] : planService(joined.service, joined.slices, context);
  });
}

const anyObject = fc.oneof(anyService, anySlice, anySlice, anyNode);
const anyEvents = fc.array(
  fc.oneof(
    { weight: 3, arbitrary: anyObject.map((object): Event => ({ upsert: object })) },
    { weight: 1, arbitrary: anyObject.map((object): Event => ({ delete: refTo(object) })) },
  ),
  { maxLength: 20 },
);

/** A Node without addresses keeps those that were known. */
function withKnownAddresses(object: ModelObject, known: ModelObject | undefined): ModelObject {
  if (object.kind !== "Node" || known?.kind !== "Node" || object.addresses.length > 0) return object;
  return { ...object, addresses: known.addresses };
}

Deno.test("any sequence of events leads to the plans of the objects at its end, and of the last Node", () => {
  fc.assert(
    fc.property(anyEvents, fc.infiniteStream(fc.nat()), (events, random) => {
      const last = new Map<string, ModelObject>();
      for (const event of events) {
        const ref = "upsert" in event ? refTo(event.upsert) : event.delete;
        const id = `${ref.kind}/${ref.namespace}/${ref.name}`;
        if ("upsert" in event) last.set(id, withKnownAddresses(event.upsert, last.get(id)));
        // A deleted Node still counts, in its last state.
        else if (ref.kind !== "Node") last.delete(id);
      }
      const shuffled = [...last.values()].map((object) => ({ object, order: random.next().value ?? 0 }))
        .sort((a, b) => a.order - b.order).map(({ object }) => ({ upsert: object }));
      assert.deepEqual(plansOf(apply(events)), plansOf(apply(shuffled)));
    }),
    { numRuns: 500 },
  );
});

Deno.test("an event that changes a service's plans names that service", () => {
  fc.assert(
    fc.property(anyEvents, (events) => {
      const store = new Store("here");
      const planned = (name: string) => {
        const joined = store.get(name);
        const nodeAddresses = detectNodeAddresses(undefined, undefined);
        const context = {
          families: ["IPv4", "IPv6"],
          nodeName: "here",
          zone: "a",
          nodeAddresses,
          endsConnections: false,
        } as const;
        return joined === undefined ? [] : planService(joined.service, joined.slices, context);
      };
      for (const event of events) {
        const before = ["default/web", "default/api"].map(planned);
        const { services } = "upsert" in event ? store.upsert(event.upsert) : store.delete(event.delete);
        for (const [index, name] of ["default/web", "default/api"].entries()) {
          if (!services.includes(name)) assert.deepEqual(planned(name), before[index]);
        }
      }
    }),
    { numRuns: 500 },
  );
});
