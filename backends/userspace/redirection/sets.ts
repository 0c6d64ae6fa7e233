import type { TableFamily } from "../../nf_tables/families.ts";
import { frontendMaps, nodePortIPs } from "../../nf_tables/set/frontends.ts";
import {
  CLUSTER_IPS,
  clusterIPs,
  firewallSets,
  SERVICE_CIDR_ENDPOINTS,
  serviceCidrEndpoints,
} from "../../nf_tables/set/shared.ts";
import { addressField, PORT_FIELD, PROTOCOL_FIELD, type SetSpec } from "../../nf_tables/set/spec.ts";
import { countingSetSpecs } from "../../nf_tables/traffic/counting.ts";
import type { Side } from "../relay/messages.ts";
import type { RedirectionSettings } from "./target.ts";

/** Where the relay accepts the connections of a side, by protocol. */
export const LISTENERS: Readonly<Record<Side, string>> = {
  inside: "relay-inside",
  outside: "relay-outside",
};
/** Protocols and ports where only redirected connections may arrive. */
export const RELAY_PORTS = "relay-ports";

/** Sets whose elements several service ports may share. An element exists while any of them uses it. */
export const SHARED_SETS: ReadonlySet<string> = new Set([CLUSTER_IPS, SERVICE_CIDR_ENDPOINTS]);

/** The sets of one table, in the order they are listed. */
export function setsOf(family: TableFamily, settings: RedirectionSettings): readonly SetSpec[] {
  const listener = (name: string, comment: string): SetSpec => ({
    name,
    kind: "map",
    comment,
    key: [PROTOCOL_FIELD],
    data: [addressField(family), PORT_FIELD],
  });
  return [
    ...countingSetSpecs(family, settings),
    clusterIPs(family),
    ...(settings.nodePorts === "all" ? [] : [nodePortIPs(family)]),
    listener(LISTENERS.inside, "listeners for this node and its pods"),
    listener(LISTENERS.outside, "listeners for all others"),
    {
      name: RELAY_PORTS,
      kind: "set",
      comment: "ports that accept redirected connections only",
      key: [PROTOCOL_FIELD, PORT_FIELD],
    },
    serviceCidrEndpoints(family),
    ...frontendMaps(family),
    ...firewallSets(family),
  ];
}
