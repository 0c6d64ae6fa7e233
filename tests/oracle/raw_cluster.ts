import fc from "fast-check";
import type {
  RawCluster,
  RawConfiguration,
  RawEndpoint,
  RawMetadata,
  RawNode,
  RawPolicy,
  RawProtocol,
  RawService,
  RawServiceCidr,
  RawServicePort,
  RawSlice,
} from "./raw_objects.ts";

/** Random clusters that are small and crowded, so that all features meet in them. */

/**
 * Addresses by role. Some addresses have several roles. Addresses with the same index have the same role in
 * both families.
 */
export const pools = {
  IPv4: {
    clusterIPs: ["10.96.0.10", "10.96.0.11", "10.96.0.12"],
    unallocated: ["10.96.0.99"],
    externalIPs: ["198.51.100.1", "203.0.113.5", "192.0.2.1", "10.96.0.11"],
    loadBalancerIPs: ["203.0.113.5", "203.0.113.6", "192.0.2.2"],
    ranges: ["10.244.1.0/24", " 192.0.2.0/24", "198.18.0.9/32", "0.0.0.0/0", "203.0.113.5/32"],
    nodeIPs: ["192.0.2.1", "192.0.2.2", "10.244.1.1"],
    pods: ["10.244.1.11", "10.244.1.12", "10.244.2.14"],
    clients: ["192.0.2.9", "198.18.0.9"],
    loopback: "127.0.0.1",
    nodeCidr: "10.244.1.0/24",
    clusterCidr: "10.244.0.0/16",
    serviceCidrs: ["10.96.0.0/16", "10.96.0.8/29", "10.97.0.0/24"],
    nodeRange: "192.0.2.2/31",
  },
  IPv6: {
    clusterIPs: ["fd00:96::10", "fd00:96::11", "fd00:96::12"],
    unallocated: ["fd00:96::99"],
    externalIPs: ["2001:db8:1::1", "2001:db8:2::5", "2001:db8::1", "fd00:96::11"],
    loadBalancerIPs: ["2001:db8:2::5", "2001:db8:2::6", "2001:db8::2"],
    ranges: ["fd00:244:1::/64", "2001:db8::/64 ", "2001:db8:9::9/128", "::/0", "2001:db8:2::5/128"],
    nodeIPs: ["2001:db8::1", "2001:db8::2", "fd00:244:1::1"],
    pods: ["fd00:244:1::11", "fd00:244:1::12", "fd00:244:2::14"],
    clients: ["2001:db8::9", "2001:db8:9::9"],
    loopback: "::1",
    nodeCidr: "fd00:244:1::/64",
    clusterCidr: "fd00:244::/32",
    serviceCidrs: ["fd00:96::/112", "fd00:96::10/125", "fd00:97::/108"],
    nodeRange: "2001:db8::2/127",
  },
};
export const families = ["IPv4", "IPv6"] as const;

const name = fc.constantFrom("web", "web", "api", "api", "db");
const namespace = fc.constantFrom("default", "default", "default", "default", "system");
const policy = fc.option(fc.constantFrom<RawPolicy>("Cluster", "Local"), { nil: undefined });
const protocol = fc.constantFrom<RawProtocol | undefined>("TCP", "TCP", "TCP", undefined, "UDP", "SCTP");
const nodePort = fc.constantFrom(30080, 30081);
const time = fc.constantFrom(undefined, "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z");

/** A few addresses of both families. */
function someOf(part: "externalIPs" | "loadBalancerIPs" | "ranges"): fc.Arbitrary<string[]> {
  return fc.subarray([...pools.IPv4[part], ...pools.IPv6[part]], { maxLength: 3 });
}

/** Leaves out fields that are undefined, as JSON does. */
function object<T>(fields: { [K in keyof T]-?: fc.Arbitrary<T[K] | undefined> }): fc.Arbitrary<T> {
  return fc.record<Record<string, unknown>>(fields).map((value) => JSON.parse(JSON.stringify(value)));
}

const metadata = object<RawMetadata>({
  name,
  namespace,
  creationTimestamp: time,
  labels: fc.constantFrom(
    ...[1, 2, 3, 4, 5].map((n) => ({ app: `${n}` })),
    undefined,
    {},
    { "service.kubernetes.io/service-proxy-name": "other" },
  ),
});

const clusterIPs = fc.nat(2).chain((n) => {
  const v4 = pools.IPv4.clusterIPs[n] ?? "";
  const v6 = pools.IPv6.clusterIPs[n] ?? "";
  const dual = { clusterIP: v4, clusterIPs: [v4, v6], ipFamilies: ["IPv4", "IPv6"] };
  return fc.constantFrom(
    dual,
    dual,
    { clusterIP: v6, clusterIPs: [v6, v4], ipFamilies: ["IPv6", "IPv4"] },
    { clusterIP: v4, clusterIPs: [v4], ipFamilies: ["IPv4"] },
    { clusterIP: v6, clusterIPs: [v6], ipFamilies: ["IPv6"] },
    { clusterIP: v4 },
    dual,
    dual,
    { clusterIP: "None", clusterIPs: ["None"], ipFamilies: ["IPv4"] },
    { clusterIP: "" },
  );
});

const servicePorts = fc.uniqueArray(
  object<RawServicePort>({
    name: fc.constantFrom("http", "http", undefined, "alt"),
    protocol,
    port: fc.constantFrom(80, 80, 80, 80, 53, 30080),
    nodePort: fc.option(nodePort, { nil: undefined }),
  }),
  {
    minLength: 1,
    maxLength: 3,
    selector: ({ name = "", protocol = "TCP" }) => `${name}/${protocol}`,
  },
);

const type = fc.constantFrom<RawService["spec"]["type"]>(
  undefined,
  "ClusterIP",
  "NodePort",
  "NodePort",
  "LoadBalancer",
  "LoadBalancer",
  "LoadBalancer",
  "ExternalName",
);

const service: fc.Arbitrary<RawService> = fc.tuple(
  metadata,
  clusterIPs,
  object<Omit<RawService["spec"], "clusterIP" | "clusterIPs" | "ipFamilies">>({
    type,
    ports: servicePorts,
    externalIPs: fc.option(
      someOf("externalIPs").map((ips) => ips.length === 3 ? [...ips.slice(1), "bogus"] : ips),
      { nil: undefined },
    ),
    loadBalancerSourceRanges: fc.option(someOf("ranges"), { nil: undefined }),
    sessionAffinity: fc.constantFrom(undefined, "None", "None", "ClientIP"),
    sessionAffinityConfig: fc.constantFrom(undefined, { clientIP: { timeoutSeconds: 60 } }),
    externalTrafficPolicy: policy,
    internalTrafficPolicy: policy,
  }),
  fc.option(fc.tuple(someOf("loadBalancerIPs"), fc.constantFrom(undefined, undefined, "VIP", "Proxy")), {
    nil: undefined,
  }),
).map(([metadata, clusterIPs, spec, balancer]) => {
  const hasNodePorts = spec.type === "NodePort" || spec.type === "LoadBalancer";
  const ports = hasNodePorts ? spec.ports : spec.ports.map(({ nodePort: _, ...port }) => port);
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata,
    spec: spec.type === "ExternalName" ? { ...spec, ports } : { ...spec, ...clusterIPs, ports },
    ...(balancer === undefined ? {} : { status: { loadBalancer: { ingress: ingress(...balancer) } } }),
  };
});

function ingress(ips: readonly string[], ipMode: "VIP" | "Proxy" | undefined) {
  return [
    { hostname: "lb.example.org" },
    ...ips.map((ip) => ({ ip, ...(ipMode === undefined ? {} : { ipMode }) })),
  ];
}

function names(choices: readonly string[]) {
  return fc.option(fc.subarray([...choices]).map((names) => names.map((name) => ({ name }))), {
    nil: undefined,
  });
}

function endpoint(family: "IPv4" | "IPv6"): fc.Arbitrary<RawEndpoint> {
  const { pods, nodeIPs, clusterIPs } = pools[family];
  const condition = fc.constantFrom(undefined, true, true, false);
  return object<RawEndpoint>({
    addresses: fc.array(fc.constantFrom(...pods, ...pods, ...pods, nodeIPs[0] ?? "", clusterIPs[2] ?? ""), {
      minLength: 1,
      maxLength: 2,
    }),
    conditions: fc.option(object({ ready: condition, serving: condition, terminating: condition }), {
      nil: undefined,
    }),
    nodeName: fc.constantFrom("here", "here", "there", undefined),
    hints: fc.option(object({ forZones: names(["a", "b"]), forNodes: names(["here", "there"]) }), {
      nil: undefined,
      freq: 3,
    }),
  });
}

/** Mostly slices of one of these services and its ports. Some belong to no service. */
function sliceFor(services: readonly RawService[]): fc.Arbitrary<RawSlice> {
  const owners = services.map(({ metadata, spec }) => ({ ...metadata, ports: spec.ports }));
  return fc.tuple(fc.constantFrom(...families), fc.constantFrom(...owners)).chain(([family, owner]) =>
    fc.record({
      apiVersion: fc.constant("discovery.k8s.io/v1" as const),
      kind: fc.constant("EndpointSlice" as const),
      metadata: fc.record({
        name: fc.constantFrom("s-1", "s-2", "s-3", "s-4", "s-5", "s-6", "s-7", "s-8", "s-9"),
        namespace: rarely(namespace, fc.constant(owner.namespace ?? "default")),
        labels: rarely(
          fc.constant({ "service.kubernetes.io/headless": "" }),
          fc.constant({}),
        ).map((labels) => ({ ...labels, "kubernetes.io/service-name": owner.name })),
      }),
      addressType: rarely(fc.constant("FQDN" as const), fc.constant(family)),
      ports: slicePorts(owner.ports),
      endpoints: fc.array(endpoint(family), { minLength: 1, maxLength: 5 }),
    })
  );
}

function slicePorts(of: readonly RawServicePort[]): fc.Arbitrary<RawSlice["ports"]> {
  const number = fc.constantFrom(8080, 8080, 8080, 8081, 80);
  const same = fc.subarray([...of], { minLength: 1 }).chain((ports) =>
    fc.tuple(
      ...ports.map(({ name, protocol }) =>
        number.map((port) => JSON.parse(JSON.stringify({ name, protocol, port })))
      ),
    )
  );
  const odd = object<RawSlice["ports"][number]>({
    name: fc.constantFrom("http", "", undefined, "alt", null),
    protocol,
    port: fc.constantFrom(8080, 8081, null, undefined),
  });
  return fc.tuple(same, fc.array(odd, { maxLength: 1 })).map(([same, odd]) => [...same, ...odd]);
}

function rarely<T>(odd: fc.Arbitrary<T>, usual: fc.Arbitrary<T>): fc.Arbitrary<T> {
  return fc.oneof({ arbitrary: usual, weight: 14 }, { arbitrary: odd, weight: 1 });
}

/** A Node. Without addresses it stands for an object that is not complete yet. */
function node(name: string): fc.Arbitrary<RawNode> {
  const all = families.map((family) => pools[family].nodeIPs[0] ?? "");
  const internal = (address: string) => ({ type: "InternalIP", address });
  const external = (address: string) => ({ type: "ExternalIP", address });
  return fc.record({
    apiVersion: fc.constant("v1" as const),
    kind: fc.constant("Node" as const),
    metadata: fc.constantFrom(undefined, "a", "b").map((zone) => ({
      name,
      ...(zone === undefined ? {} : { labels: { "topology.kubernetes.io/zone": zone } }),
    })),
    spec: fc.constantFrom({}, { podCIDRs: [pools.IPv4.nodeCidr, pools.IPv6.nodeCidr] }, {
      podCIDRs: [pools.IPv6.nodeCidr],
    }),
    status: fc.constantFrom(
      { addresses: all.map(internal) },
      { addresses: all.toReversed().map(internal) },
      { addresses: [{ type: "Hostname", address: name }, ...all.map(external), internal(all[1] ?? "")] },
      { addresses: all.slice(0, 1).map(internal) },
      { addresses: [] },
    ),
  });
}

const serviceCidr: fc.Arbitrary<RawServiceCidr> = fc.record({
  apiVersion: fc.constant("networking.k8s.io/v1" as const),
  kind: fc.constant("ServiceCIDR" as const),
  metadata: fc.record({ name: fc.constantFrom("kubernetes", "more") }),
  spec: fc.record({ cidrs: fc.subarray([...pools.IPv4.serviceCidrs, ...pools.IPv6.serviceCidrs]) }),
});

const configuration: fc.Arbitrary<RawConfiguration> = fc.record({
  families: fc.constantFrom(families, families, families, ["IPv4"] as const, ["IPv6"] as const),
  detectLocal: fc.oneof(
    fc.constantFrom(
      [pools.IPv4.clusterCidr, pools.IPv6.clusterCidr],
      [pools.IPv4.nodeCidr, pools.IPv6.nodeCidr],
      [pools.IPv4.clusterCidr],
      [],
    ).map((cidrs) => ({ mode: "ClusterCIDR" as const, cidrs })),
    fc.constant({ mode: "NodeCIDR" as const }),
    fc.constant({ mode: "BridgeInterface" as const, interface: "pods0" }),
    fc.constant({ mode: "InterfaceNamePrefix" as const, prefix: "pods" }),
  ),
  masqueradeAll: fc.nat(4).map((chance) => chance === 0),
  nodePortAddresses: fc.constantFrom(
    [],
    [],
    ["primary"],
    ["all"],
    ["localhost"],
    ["0.0.0.0/0"],
    [pools.IPv4.nodeRange, pools.IPv6.nodeRange],
    [pools.IPv4.nodeRange],
    ["primary", "localhost", pools.IPv6.nodeRange],
  ),
  bindAddress: fc.constantFrom(undefined, undefined, "0.0.0.0", "192.0.2.2", "2001:db8::2"),
});

export const anyRawCluster: fc.Arbitrary<RawCluster> = fc.uniqueArray(service, {
  selector: ({ metadata: { namespace, name } }) => `${namespace}/${name}`,
  minLength: 1,
  maxLength: 6,
}).chain((services) =>
  fc.record({
    services: fc.constant(services),
    slices: fc.uniqueArray(sliceFor(services), {
      selector: ({ metadata: { namespace, name } }) => `${namespace}/${name}`,
      minLength: 3,
      maxLength: 9,
    }),
    nodes: fc.tuple(rarely(fc.constant(undefined), node("here")), node("there")).map((nodes) =>
      nodes.filter((node) => node !== undefined)
    ),
    serviceCidrs: fc.uniqueArray(serviceCidr, { selector: ({ metadata: { name } }) => name, maxLength: 2 }),
    configuration,
    interfaceAddresses: fc.constantFrom(
      ["127.0.0.1", "::1", ...pools.IPv4.nodeIPs, ...pools.IPv6.nodeIPs],
      ["127.0.0.1", "::1", pools.IPv4.nodeIPs[0] ?? "", pools.IPv6.nodeIPs[0] ?? ""],
    ),
  })
);
