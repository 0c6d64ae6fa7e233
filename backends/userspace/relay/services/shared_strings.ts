import type { Family } from "../../../../core/net/protocol.ts";
import type { FrontendKind } from "../../../../core/plan/plan.ts";
import type { EndpointList, RelayedProtocol, RelayedService } from "../messages.ts";

const FAMILIES: Readonly<Record<Family, Family>> = { IPv4: "IPv4", IPv6: "IPv6" };
const PROTOCOLS: Readonly<Record<RelayedProtocol, RelayedProtocol>> = { TCP: "TCP", UDP: "UDP" };
const LISTS: Readonly<Record<EndpointList, EndpointList>> = {
  cluster: "cluster",
  local: "local",
  none: "none",
};
const KINDS: Readonly<Record<FrontendKind, FrontendKind>> = {
  ClusterIP: "ClusterIP",
  ExternalIP: "ExternalIP",
  LoadBalancerIP: "LoadBalancerIP",
  NodePort: "NodePort",
};

/**
 * Returns a service that shares the strings which have few values with all others. Each service in a message has strings
 * of its own, and objects with spare room: some 300 bytes.
 */
export function withSharedStrings(service: RelayedService): RelayedService {
  return {
    key: service.key,
    family: FAMILIES[service.family],
    protocol: PROTOCOLS[service.protocol],
    frontends: service.frontends.map(({ kind, address, port, outside, inside, listen }) => ({
      kind: KINDS[kind],
      address,
      port,
      outside: LISTS[outside],
      inside: LISTS[inside],
      ...(listen === undefined ? {} : { listen }),
    })),
    cluster: service.cluster,
    local: service.local,
    serving: service.serving,
    affinitySeconds: service.affinitySeconds,
    proxyProtocol: service.proxyProtocol,
  };
}
