import type { TableFamily } from "../families.ts";
import { frontendKey } from "./shared.ts";
import { addressField, PORT_FIELD, PROTOCOL_FIELD, type SetSpec } from "./spec.ts";

/** Sets and maps of frontends that the tables of modes nftables and userspace have in common, as kube-proxy has them. */

export const NODEPORT_IPS = "nodeport-ips";
export const SERVICE_IPS = "service-ips";
export const SERVICE_NODEPORTS = "service-nodeports";
export const NO_ENDPOINT_SERVICES = "no-endpoint-services";
export const NO_ENDPOINT_NODEPORTS = "no-endpoint-nodeports";

export function nodePortIPs(family: TableFamily): SetSpec {
  return {
    name: NODEPORT_IPS,
    kind: "set",
    comment: "addresses that accept NodePort traffic",
    key: [addressField(family)],
  };
}

/** Maps with the verdict on a new connection to a frontend. */
export function frontendMaps(family: TableFamily): readonly SetSpec[] {
  const byAddress = frontendKey(family);
  const byPort = [PROTOCOL_FIELD, PORT_FIELD];
  return [
    {
      name: SERVICE_IPS,
      kind: "verdict map",
      comment: "ClusterIP, external IP and load balancer traffic",
      key: byAddress,
    },
    { name: SERVICE_NODEPORTS, kind: "verdict map", comment: "NodePort traffic", key: byPort },
    {
      name: NO_ENDPOINT_SERVICES,
      kind: "verdict map",
      comment: "services to reject or drop for lack of endpoints",
      key: byAddress,
    },
    {
      name: NO_ENDPOINT_NODEPORTS,
      kind: "verdict map",
      comment: "NodePorts to reject or drop for lack of endpoints",
      key: byPort,
    },
  ];
}
