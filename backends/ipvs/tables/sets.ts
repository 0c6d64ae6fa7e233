import type { TableFamily } from "../../nf_tables/families.ts";
import {
  CLUSTER_IPS,
  clusterIPs,
  firewallSets,
  frontendKey,
  HAIRPIN_CONNECTIONS,
  hairpinConnections,
  SERVICE_CIDR_ENDPOINTS,
  serviceCidrEndpoints,
} from "../../nf_tables/set/shared.ts";
import { addressField, type SetSpec } from "../../nf_tables/set/spec.ts";

// Key: address
/** Corresponds to KUBE-IPVS-IPS of kube-proxy. */
export const IPVS_IPS = "ipvs-ips";
// Key: address, protocol and port
export const VIRTUAL_SERVERS = "virtual-servers";
export const MASQUERADED_SERVICES = "masqueraded-services";
export const NO_ENDPOINT_SERVICES = "no-endpoint-services";
export const NO_LOCAL_ENDPOINT_SERVICES = "no-local-endpoint-services";
export const HEALTH_CHECKS = "health-checks";

/** Sets whose elements several service ports may share. An element exists while any of them uses it. */
export const SHARED_SETS: ReadonlySet<string> = new Set([
  CLUSTER_IPS,
  IPVS_IPS,
  HEALTH_CHECKS,
  HAIRPIN_CONNECTIONS,
  SERVICE_CIDR_ENDPOINTS,
]);

/** The sets of one table, in the order they are listed. */
export function setsOf(family: TableFamily): readonly SetSpec[] {
  const address = addressField(family);
  const byAddress = frontendKey(family);
  return [
    clusterIPs(family),
    { name: IPVS_IPS, kind: "set", comment: "addresses on the device kube-ipvs0", key: [address] },
    { name: VIRTUAL_SERVERS, kind: "set", comment: "what IPVS balances", key: byAddress },
    {
      name: MASQUERADED_SERVICES,
      kind: "set",
      comment: "external addresses and NodePorts that hide their clients from endpoints",
      key: byAddress,
    },
    {
      name: NO_ENDPOINT_SERVICES,
      kind: "set",
      comment: "services to drop for lack of endpoints on this node",
      key: byAddress,
    },
    {
      name: NO_LOCAL_ENDPOINT_SERVICES,
      kind: "set",
      comment: "services to drop for clients outside, for lack of endpoints on this node",
      key: byAddress,
    },
    {
      name: HEALTH_CHECKS,
      kind: "set",
      comment: "where load balancers ask for the health of a service",
      key: byAddress,
    },
    ...firewallSets(family),
    serviceCidrEndpoints(family),
    hairpinConnections(family, [address]),
  ];
}
