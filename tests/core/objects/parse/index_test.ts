import assert from "node:assert/strict";
import fc from "fast-check";
import { formatAddress, formatCidr } from "../../../../core/net/address.ts";
import type { ModelObject } from "../../../../core/objects/objects.ts";
import { parseObject, parseObjectOfKind, refOf } from "../../../../core/objects/parse/index.ts";
import { planService } from "../../../../core/plan/planner.ts";
import { Store } from "../../../../core/objects/store.ts";
import { here } from "../../plan/builders.ts";

function parse(raw: unknown): ModelObject {
  const parsed = parseObject(raw, assert.fail);
  assert.ok("object" in parsed, JSON.stringify(parsed));
  return parsed.object;
}

Deno.test("kinds that a proxy does not use are ignored", () => {
  for (
    const [raw, irrelevant] of [
      [undefined, "an empty document"],
      [null, "an empty document"],
      [{ apiVersion: "apps/v1", kind: "Deployment" }, '"Deployment"'],
      [{ apiVersion: "serving.knative.dev/v1", kind: "Service" }, '"Service" of "serving.knative.dev/v1"'],
      [{ apiVersion: "v1", kind: "__proto__" }, '"__proto__"'],
    ] as const
  ) {
    assert.deepEqual(parseObject(raw, assert.fail), { irrelevant });
  }
});

Deno.test("malformed objects are reported", () => {
  for (
    const [raw, invalid] of [
      ["text", '"text" is not a Kubernetes object'],
      [[], "a list is not a Kubernetes object"],
      [{}, "kind: missing"],
      [{ kind: 5 }, "kind: 5 is not a string"],
      [{ kind: "Service" }, "Service: apiVersion: missing; write v1"],
      [{ kind: "Service", apiVersion: "v2" }, 'Service: apiVersion: "v2"; write v1'],
      [
        { kind: "EndpointSlice", apiVersion: "discovery.k8s.io/v1beta1" },
        'EndpointSlice: apiVersion: "discovery.k8s.io/v1beta1"; write discovery.k8s.io/v1',
      ],
      [{ kind: "Service", apiVersion: "v1" }, "Service: metadata.name: missing"],
      [{ kind: "Service", apiVersion: "v1", metadata: 7 }, "Service: metadata: 7 is not a mapping"],
      [
        { kind: "Service", apiVersion: "v1", metadata: { name: "we\u001b[31mb\u009b" } },
        'Service: metadata.name: "we\\u001b[31mb\\u009b" is not a name; ' +
        'use at most 253 lower-case letters, digits, "-" and "."',
      ],
    ] as const
  ) {
    assert.deepEqual(parseObject(raw, assert.fail), { invalid, ref: undefined });
  }
});

Deno.test("an element of a list of the API has the kind of the list", () => {
  const raw = { metadata: { name: "web", namespace: "shop" }, spec: { clusterIP: "None" } };
  const ref = { kind: "Service", namespace: "shop", name: "web" };
  assert.deepEqual(parseObjectOfKind("Service", raw, assert.fail), {
    ignored: ref,
    why: "it is headless (clusterIP None)",
  });
  assert.deepEqual(refOf("Service", raw), ref);
  assert.equal(refOf("Service", { metadata: { name: "Not A Name" } }), undefined);
});

Deno.test("a Node has its first internal address per family, or else an external one", () => {
  const node = (addresses: readonly (readonly [string, string])[]) => {
    const status = { addresses: addresses.map(([type, address]) => ({ type, address })) };
    const parsed = parse({ apiVersion: "v1", kind: "Node", metadata: { name: "worker-1" }, status });
    assert.ok(parsed.kind === "Node");
    return parsed.addresses.map(formatAddress);
  };
  const internal = "InternalIP", external = "ExternalIP";
  assert.deepEqual(node([]), []);
  assert.deepEqual(node([["Hostname", "worker-1"], [internal, "10.0.0.1"], [internal, "10.0.0.2"]]), [
    "10.0.0.1",
  ]);
  assert.deepEqual(node([[external, "198.51.100.1"], [internal, "10.0.0.1"]]), ["10.0.0.1"]);
  assert.deepEqual(node([[external, "198.51.100.1"], [internal, "fd00::1"]]), ["fd00::1", "198.51.100.1"]);
  assert.deepEqual(node([[internal, "fd00::1"], [internal, "10.0.0.1"]]), ["fd00::1", "10.0.0.1"]);
});

Deno.test("a Node's zone, pod CIDRs and eligibility are parsed", () => {
  const node = (metadata: object, spec: object) => {
    const parsed = parse({
      apiVersion: "v1",
      kind: "Node",
      metadata: { name: "worker-1", ...metadata },
      spec,
    });
    assert.ok(parsed.kind === "Node");
    return [parsed.zone, parsed.podCidrs.map(formatCidr), parsed.eligible];
  };
  const zoned = { labels: { "topology.kubernetes.io/zone": "eu-1a" } };
  assert.deepEqual(node(zoned, { podCIDR: "10.1.0.0/24", podCIDRs: ["10.1.0.0/24", "fd00::/64"] }), [
    "eu-1a",
    ["10.1.0.0/24", "fd00::/64"],
    true,
  ]);
  assert.deepEqual(node({}, { podCIDR: "10.1.0.0/24" }), ["", ["10.1.0.0/24"], true]);
  assert.deepEqual(node({}, { taints: [{ key: "other", effect: "NoSchedule" }] })[2], true);
  assert.deepEqual(node({}, { taints: [{ key: "ToBeDeletedByClusterAutoscaler" }] })[2], false);
  assert.deepEqual(node({ deletionTimestamp: "2026-01-01T00:00:00Z" }, {})[2], false);
});

Deno.test("ServiceCIDRs of both API versions are parsed; an invalid range is skipped and reported", () => {
  for (const apiVersion of ["networking.k8s.io/v1", "networking.k8s.io/v1beta1"]) {
    const problems: string[] = [];
    const raw = {
      apiVersion,
      kind: "ServiceCIDR",
      metadata: { name: "k" },
      spec: { cidrs: ["10.96.0.1/12", "x"] },
    };
    const parsed = parseObject(raw, (problem) => problems.push(problem));
    assert.ok("object" in parsed && parsed.object.kind === "ServiceCIDR");
    assert.deepEqual(parsed.object.cidrs.map(formatCidr), ["10.96.0.0/12"]);
    assert.deepEqual(problems, ['ServiceCIDR k: spec.cidrs[1]: "x" is not a CIDR; skipped']);
  }
});

Deno.test("an object with a million errors is reported in a few lines", () => {
  const problems: string[] = [];
  const spec = {
    clusterIP: "10.96.0.10",
    ports: [{ port: 80 }],
    externalIPs: new Array(1_000_000).fill("x"),
  };
  parseObject(
    { apiVersion: "v1", kind: "Service", metadata: { name: "web" }, spec },
    (problem) => problems.push(problem),
  );
  assert.equal(problems.length, 11);
  assert.equal(problems.at(-1), "Service default/web: 999990 more problems");
});

Deno.test("a message truncates a huge value", () => {
  const parsed = parseObject(
    { apiVersion: "v1", kind: "Service", metadata: { name: "x".repeat(1_000_000) } },
    assert.fail,
  );
  assert.ok("invalid" in parsed && parsed.invalid.length < 250, JSON.stringify(parsed).slice(0, 300));
});

/** Valid objects of every kind, which the tests corrupt. */
const valid = [
  {
    apiVersion: "v1",
    kind: "Service",
    metadata: {
      name: "web",
      namespace: "shop",
      labels: { app: "web" },
      creationTimestamp: "2026-01-01T00:00:00Z",
    },
    spec: {
      type: "LoadBalancer",
      clusterIP: "10.96.0.10",
      clusterIPs: ["10.96.0.10", "fd00::10"],
      ipFamilies: ["IPv4", "IPv6"],
      ports: [{ name: "http", port: 80, protocol: "TCP", nodePort: 30080, targetPort: "http" }],
      externalIPs: ["198.51.100.1"],
      loadBalancerSourceRanges: ["10.0.0.0/8"],
      sessionAffinity: "ClientIP",
      sessionAffinityConfig: { clientIP: { timeoutSeconds: 60 } },
      externalTrafficPolicy: "Local",
      internalTrafficPolicy: "Cluster",
      healthCheckNodePort: 32000,
    },
    status: { loadBalancer: { ingress: [{ ip: "203.0.113.5", ipMode: "VIP" }] } },
  },
  {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name: "web-1", namespace: "shop", labels: { "kubernetes.io/service-name": "web" } },
    addressType: "IPv4",
    ports: [{ name: "http", port: 8080, protocol: "TCP" }],
    endpoints: [{
      addresses: ["10.1.0.1"],
      conditions: { ready: true, serving: true, terminating: false },
      nodeName: "worker-1",
      hints: { forZones: [{ name: "a" }], forNodes: [{ name: "worker-1" }] },
    }],
  },
  {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name: "worker-1", labels: { "topology.kubernetes.io/zone": "a" } },
    spec: { podCIDRs: ["10.1.0.0/24"], taints: [{ key: "k" }] },
    status: { addresses: [{ type: "InternalIP", address: "192.0.2.1" }] },
  },
  {
    apiVersion: "networking.k8s.io/v1",
    kind: "ServiceCIDR",
    metadata: { name: "k" },
    spec: { cidrs: ["10.96.0.0/12"] },
  },
];

/** Paths of all values in a decoded document. */
function placesOf(value: unknown): readonly (readonly string[])[] {
  if (typeof value !== "object" || value === null) return [[]];
  return [
    [],
    ...Object.entries(value).flatMap(([key, child]) => placesOf(child).map((place) => [key, ...place])),
  ];
}

function damaged(value: unknown, place: readonly string[], by: unknown): unknown {
  const [key, ...rest] = place;
  if (key === undefined || typeof value !== "object" || value === null) return by;
  const entries = Object.entries(value).map((
    [name, child],
  ) => [name, name === key ? damaged(child, rest, by) : child]);
  return Array.isArray(value) ? entries.map(([, child]) => child) : Object.fromEntries(entries);
}

const anyDamage = fc.constantFrom(...valid).chain((object) =>
  fc.tuple(
    fc.constantFrom(...placesOf(object)),
    fc.oneof(
      fc.anything({
        withNullPrototype: true,
        withSparseArray: true,
        withBigInt: true,
        withDate: true,
        withMap: true,
      }),
      fc.jsonValue(),
      fc.string({ unit: "binary" }),
      fc.constantFrom(NaN, -0, 1e300, 2 ** 53, "__proto__", "constructor", "80", "\n", [[[[]]]], {
        length: 3,
      }),
    ),
  ).map(([place, by]) => damaged(object, place, by))
);

/** Plans a parsed object together with valid objects, which must not throw. */
function planWith(object: ModelObject): void {
  const store = new Store("worker-1");
  for (const other of valid) store.upsert(parse(other));
  store.upsert(object);
  for (const name of store.serviceNames()) {
    const joined = store.get(name);
    assert.ok(joined !== undefined);
    planService(joined.service, joined.slices, { ...here, nodeName: "worker-1" });
  }
}

Deno.test("parsing any document ends in one of the four results", () => {
  const check = (raw: unknown) => {
    const lines: string[] = [];
    const parsed = parseObject(raw, (problem) => lines.push(problem));
    if ("invalid" in parsed) lines.push(parsed.invalid);
    for (const line of lines) assert.match(line, /^[\x20-\x7e]+$/);
    if ("object" in parsed) planWith(parsed.object);
    assert.equal(["object", "ignored", "irrelevant", "invalid"].filter((key) => key in parsed).length, 1);
  };
  fc.assert(fc.property(fc.anything(), check));
  fc.assert(fc.property(anyDamage, check), { numRuns: 3000 });
});

Deno.test("fields that are kept do not keep the whole text in memory", () => {
  const kept: ModelObject[] = [];
  for (let index = 0; index < 100; index++) {
    const text = `a-service-with-a-long-name-${index}`.padEnd(4_000_000, " ");
    // Each field is cut separately, as a parser does.
    const cut = () => text.slice(0, text.indexOf(" "));
    kept.push(parse({
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      metadata: { name: cut(), namespace: cut(), labels: { "kubernetes.io/service-name": cut() } },
      addressType: "IPv4",
      ports: [{ name: cut(), port: 80 }],
      endpoints: [{ addresses: ["10.1.0.1"], nodeName: cut(), hints: { forZones: [{ name: cut() }] } }],
    }));
  }
  const megabytes = Deno.memoryUsage().heapUsed / 1e6;
  assert.equal(kept.length, 100);
  assert.ok(megabytes < 300, `${megabytes} MB for 100 objects`);
});
