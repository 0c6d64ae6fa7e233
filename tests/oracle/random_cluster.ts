import fc from "fast-check";
import type { EndpointSlice, Node, Service } from "../../core/objects/objects.ts";
import { address, aService, aSlice, cidr, type EndpointSketch } from "../core/plan/builders.ts";

/** Random clusters that are small and crowded, so that all features meet in them. */

const name = fc.constantFrom("web", "api");
const zoneNames = fc.subarray(["a", "b"], { maxLength: 2 });
const nodeName = fc.constantFrom("here", "there", "");
const protocol = fc.constantFrom("TCP" as const, "UDP" as const);
const policy = fc.constantFrom("Cluster" as const, "Local" as const);

function addresses(choices: readonly string[]) {
  return fc.subarray([...choices]).map((texts) => texts.map(address));
}

export const anyService: fc.Arbitrary<Service> = fc.record({
  name,
  created: fc.constantFrom("", "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"),
  clusterIPs: fc.constantFrom(["10.96.0.10"], ["10.96.0.11"], ["fd00::10"], ["10.96.0.10", "fd00::10"])
    .map((texts) => texts.map(address)),
  ports: fc.uniqueArray(
    fc.record({
      name: fc.constantFrom("http", "dns"),
      protocol,
      port: fc.constantFrom(80, 53),
      nodePort: fc.constantFrom(0, 0, 30080),
    }),
    { selector: (port) => `${port.name}/${port.protocol}`, minLength: 1, maxLength: 3 },
  ),
  externalIPs: addresses(["198.51.100.1", "10.96.0.10", "203.0.113.5", "2001:db8::5"]),
  loadBalancerIPs: addresses(["203.0.113.5", "2001:db8::5"]),
  loadBalancerSourceRanges: fc.subarray(["10.0.0.0/8", "192.0.2.0/24", "fd00::/8", "0.0.0.0/0"])
    .map((texts) => texts.map(cidr)),
  affinitySeconds: fc.constantFrom(0, 60),
  externalTrafficPolicy: policy,
  internalTrafficPolicy: policy,
  weight: fc.constantFrom(1, 1, 0, 5),
  balancing: fc.constantFrom(undefined, undefined, "random", "maglev"),
}).map(aService);

const traits = fc.record({
  ready: fc.boolean(),
  serving: fc.boolean(),
  terminating: fc.boolean(),
  nodeName,
  zoneHints: zoneNames,
  nodeHints: fc.subarray(["here", "there"], { maxLength: 2 }),
}, { requiredKeys: [] });

function sketches(at: fc.Arbitrary<string>): fc.Arbitrary<EndpointSketch[]> {
  return fc.array(fc.tuple(at, traits).map(([at, traits]) => ({ at, ...traits })), { maxLength: 5 });
}

const slicePorts = fc.array(
  fc.record({ name: fc.constantFrom("http", "dns"), protocol, port: fc.constantFrom(8080, 8081) }),
  { maxLength: 3 },
);

export const anySlice: fc.Arbitrary<EndpointSlice> = fc.constantFrom("IPv4" as const, "IPv6" as const).chain((
  family,
) =>
  fc.record({
    endpoints: sketches(fc.nat(4).map((host) => family === "IPv4" ? `10.1.0.${host}` : `fd00:1::${host}`)),
    different: fc.record({
      name: fc.constantFrom("s-1", "s-2", "s-3"),
      service: name,
      family: fc.constant(family),
      ports: slicePorts,
      weight: fc.constantFrom(undefined, undefined, 0, 1, 5),
    }),
  }).map(({ endpoints, different }) => aSlice(endpoints, different))
);

export const anyNode: fc.Arbitrary<Node> = fc.record({
  kind: fc.constant("Node" as const),
  name: fc.constantFrom("here", "there"),
  zone: fc.constantFrom("", "a", "b"),
  addresses: fc.constantFrom([], ["192.0.2.1"], ["192.0.2.2", "2001:db8::1"]).map((texts) =>
    texts.map(address)
  ),
  podCidrs: fc.constant([]),
  eligible: fc.boolean(),
});
