import { type Address, familyOf } from "../net/address.ts";
import { joinSlices } from "./endpoints.ts";
import type { Family } from "../net/protocol.ts";
import type { EndpointSlice, Service, SlicePort } from "../objects/objects.ts";

/** What the health-check node port of a Service tells load balancers: docs/behaviour.md §7.2. */
export interface HealthCheck {
  readonly namespace: string;
  readonly name: string;
  readonly port: number;
  /** How many addresses on this node are ready to take connections, for each family that the Service has here. */
  readonly localEndpoints: ReadonlyMap<Family, number>;
}

/** Those that changed, by the Service's `namespace/name`; undefined for a Service that has none any more. */
export type HealthCheckChanges = ReadonlyMap<string, HealthCheck | undefined>;

/** Undefined when the Service has no such port. Terminating endpoints do not count, although they may still serve. */
export function healthCheckOf(
  service: Service,
  slices: readonly EndpointSlice[],
  place: { readonly families: readonly Family[]; readonly nodeName: string },
): HealthCheck | undefined {
  const { namespace, name, healthCheckNodePort: port } = service;
  if (port === 0) return undefined;
  const families = service.clusterIPs.map(familyOf).filter((family) => place.families.includes(family));
  return {
    namespace,
    name,
    port,
    localEndpoints: new Map(
      families.map((family) => [family, localReadyAddresses(slices, family, place.nodeName)]),
    ),
  };
}

/** As upstream counts: a pod once however many ports it has, on all ports of the slices, the Service's or not. */
function localReadyAddresses(slices: readonly EndpointSlice[], family: Family, nodeName: string): number {
  const addresses = new Set<Address>();
  for (const port of portsOf(slices)) {
    for (const { endpoint, traits } of joinSlices(slices, port, family, nodeName)) {
      if (endpoint.isLocal && traits.ready) addresses.add(endpoint.address);
    }
  }
  return addresses.size;
}

function portsOf(slices: readonly EndpointSlice[]): Iterable<SlicePort> {
  const ports = new Map<string, SlicePort>();
  for (const port of slices.flatMap((slice) => slice.ports)) ports.set(`${port.protocol} ${port.name}`, port);
  return ports.values();
}
