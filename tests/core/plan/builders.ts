import {
  type Address,
  type Cidr,
  familyOf,
  LOOPBACK,
  parseAddress,
  parseCidr,
} from "../../../core/net/address.ts";
import type { EndpointSlice, EndpointTraits, Service, ServicePort } from "../../../core/objects/objects.ts";
import type { PlanContext } from "../../../core/plan/planner.ts";

/** Builders of objects, with defaults for everything that a test does not set. */

export function address(text: string): Address {
  const parsed = parseAddress(text);
  if (parsed === undefined) throw new Error(`no address: ${text}`);
  return parsed;
}

export function cidr(text: string): Cidr {
  const parsed = parseCidr(text);
  if (parsed === undefined) throw new Error(`no CIDR: ${text}`);
  return parsed;
}

export const webPort: ServicePort = { name: "http", protocol: "TCP", port: 80, nodePort: 0 };

/** Service default/web, 10.96.0.10:80/TCP. */
export function aService(different: Partial<Service> = {}): Service {
  return {
    kind: "Service",
    namespace: "default",
    name: "web",
    created: "2026-01-01T00:00:00Z",
    clusterIPs: [address("10.96.0.10")],
    ports: [webPort],
    externalIPs: [],
    loadBalancerIPs: [],
    loadBalancerSourceRanges: [],
    affinitySeconds: 0,
    externalTrafficPolicy: "Cluster",
    internalTrafficPolicy: "Cluster",
    healthCheckNodePort: 0,
    weight: 1,
    balancing: undefined,
    ...different,
  };
}

/** Traits and address of one endpoint in a slice. */
export type EndpointSketch = Partial<EndpointTraits> & { readonly at: string };

/** Slice default/web-1 of Service web, port http 8080/TCP, family of its first endpoint. */
export function aSlice(
  endpoints: readonly EndpointSketch[],
  different: Partial<EndpointSlice> = {},
): EndpointSlice {
  const [first] = endpoints;
  return {
    kind: "EndpointSlice",
    namespace: "default",
    name: "web-1",
    service: "web",
    family: first === undefined ? "IPv4" : familyOf(address(first.at)),
    ports: [{ name: "http", protocol: "TCP", port: 8080 }],
    endpoints: endpoints.map(({ at, ...traits }) => ({
      address: address(at),
      traits: { ...ready, ...traits },
    })),
    triggerTime: 0,
    weight: undefined,
    ...different,
  };
}

export const ready: EndpointTraits = {
  ready: true,
  serving: true,
  terminating: false,
  nodeName: "",
  zoneHints: [],
  nodeHints: [],
};

/** Node "here" in zone "a". */
export const here: PlanContext = {
  families: ["IPv4", "IPv6"],
  nodeName: "here",
  zone: "a",
  nodeAddresses: { ...LOOPBACK, IPv4: address("192.0.2.1"), IPv6: address("2001:db8::1") },
  endsConnections: false,
};
