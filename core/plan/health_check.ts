import { type Address, familyOf } from "../net/address.ts";
import { joinSlices } from "./endpoints.ts";
import type { Family } from "../net/protocol.ts";
import type { EndpointSlice, Service, SlicePort } from "../objects/objects.ts";

/**
 * The health that the health-check node port of a Service reports to load balancers: docs/behaviour.md §7.2.
 */
export interface HealthCheck {
  readonly namespace: string;
  readonly name: string;
  readonly port: number;
  /** Number of ready addresses on this node, per family that the Service has on this node. */
  readonly localEndpoints: ReadonlyMap<Family, number>;
}

/**
 * Changed health checks by the Service's `namespace/name`; undefined for a Service that no longer has one.
 */
export type HealthCheckChanges = ReadonlyMap<string, HealthCheck | undefined>;

/**
 * Derives the health check of a Service; undefined when it has no health-check node port. Terminating
 * endpoints do not count, although they may still be serving.
 */
export function healthCheckOf(
  service: Service,
  slices: readonly EndpointSlice[],
  node: { readonly families: readonly Family[]; readonly nodeName: string },
): HealthCheck | undefined {
  const { namespace, name, healthCheckNodePort: port } = service;
  if (port === 0) return undefined;
  const families = service.clusterIPs.map(familyOf).filter((family) => node.families.includes(family));
  return {
    namespace,
    name,
    port,
    localEndpoints: new Map(
      families.map((family) => [family, localReadyAddresses(slices, family, node.nodeName)]),
    ),
  };
}

/**
 * Counts as kube-proxy does: each pod once, over all ports of the slices, whether or not the Service has the
 * port.
 */
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
