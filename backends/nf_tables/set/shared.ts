import type { TableFamily } from "../families.ts";
import type { Element } from "./element.ts";
import { PORT_KEY_BYTES } from "./keys.ts";
import { addressField, type FieldType, PORT_FIELD, PROTOCOL_FIELD, type SetSpec } from "./spec.ts";

/** Sets that the tables of several modes have in common. */

export const CLUSTER_IPS = "cluster-ips";
export const HAIRPIN_CONNECTIONS = "hairpin-connections";
export const SERVICE_CIDR_ENDPOINTS = "service-cidr-endpoints";
/** Load-balancer frontends with source ranges, and the ranges. */
export const FIREWALL_SERVICES = "firewall-services";
export const FIREWALL_ALLOWED = "firewall-allowed";

/** Key of a frontend with an address: `ip daddr . meta l4proto . th dport` */
export function frontendKey(family: TableFamily): readonly FieldType[] {
  return [addressField(family), PROTOCOL_FIELD, PORT_FIELD];
}

export function clusterIPs(family: TableFamily): SetSpec {
  return { name: CLUSTER_IPS, kind: "set", comment: "active ClusterIPs", key: [addressField(family)] };
}

export function serviceCidrEndpoints(family: TableFamily): SetSpec {
  return {
    name: SERVICE_CIDR_ENDPOINTS,
    kind: "set",
    comment: "endpoints in the ranges of service addresses",
    key: [addressField(family)],
  };
}

/** @param destination key of the destination; the key of the set starts with the source address. */
export function hairpinConnections(family: TableFamily, destination: readonly FieldType[]): SetSpec {
  return {
    name: HAIRPIN_CONNECTIONS,
    kind: "set",
    comment: "connections of a local endpoint to itself",
    key: [addressField(family), ...destination],
  };
}

export function firewallSets(family: TableFamily): readonly SetSpec[] {
  return [
    {
      name: FIREWALL_SERVICES,
      kind: "set",
      comment: "load balancer frontends with source ranges",
      key: frontendKey(family),
    },
    {
      name: FIREWALL_ALLOWED,
      kind: "interval set",
      comment: "sources that may use them",
      key: [...frontendKey(family), addressField(family)],
    },
  ];
}

/** The key in FIREWALL_SERVICES of an element of FIREWALL_ALLOWED; undefined for elements of other sets. */
export function guardedFrontend({ set, key }: Element): string | undefined {
  // The key ends with the source address, which is as long as the frontend's.
  return set === FIREWALL_ALLOWED ? key.slice(0, (key.length + PORT_KEY_BYTES) / 2) : undefined;
}
