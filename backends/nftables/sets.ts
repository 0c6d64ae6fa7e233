import type { NodeSettings } from "../../core/plan/plan.ts";
import type { TableFamily } from "../nf_tables/families.ts";
import { countingSetSpecs } from "../nf_tables/traffic/counting.ts";
import { frontendMaps, nodePortIPs } from "../nf_tables/set/frontends.ts";
import {
  clusterIPs,
  firewallSets,
  frontendKey,
  hairpinConnections,
  serviceCidrEndpoints,
} from "../nf_tables/set/shared.ts";
import {
  addressField,
  type FieldType,
  PORT_FIELD,
  PROTOCOL_FIELD,
  type SetSpec,
} from "../nf_tables/set/spec.ts";
import { typeofRandom } from "../nf_tables/userdata.ts";

export {
  NO_ENDPOINT_NODEPORTS,
  NO_ENDPOINT_SERVICES,
  NODEPORT_IPS,
  SERVICE_IPS,
  SERVICE_NODEPORTS,
} from "../nf_tables/set/frontends.ts";
// Our own maps: endpoints by frontend and slot.
export const ENDPOINTS = "endpoints";
export const LOCAL_ENDPOINTS = "local-endpoints";
export const NODEPORT_ENDPOINTS = "nodeport-endpoints";
export const LOCAL_NODEPORT_ENDPOINTS = "local-nodeport-endpoints";

/** The modulus declares the type of the slot. Numbers of endpoints up to it can be looked up. */
const MAX_ENDPOINTS = 65535;

/** The sets of one table, in the order of nft's listing. */
export function setsOf(
  family: TableFamily,
  settings: Pick<NodeSettings, "trafficMetrics">,
  { listsNodePortIPs }: { readonly listsNodePortIPs: boolean },
): readonly SetSpec[] {
  const address = addressField(family);
  const byAddress = frontendKey(family);
  const byPort = [PROTOCOL_FIELD, PORT_FIELD];
  const endpoint = [address, PORT_FIELD];
  return [
    // First, because they stay in a refill, which adds the others behind them.
    ...countingSetSpecs(family, settings),
    clusterIPs(family),
    ...(listsNodePortIPs ? [nodePortIPs(family)] : []),
    serviceCidrEndpoints(family),
    hairpinConnections(family, byAddress),
    ...frontendMaps(family),
    {
      name: ENDPOINTS,
      kind: "map",
      comment: "cluster endpoints by frontend and slot",
      key: [...byAddress, slotField],
      data: endpoint,
    },
    {
      name: LOCAL_ENDPOINTS,
      kind: "map",
      comment: "endpoints on this node by frontend and slot",
      key: [...byAddress, slotField],
      data: endpoint,
    },
    {
      name: NODEPORT_ENDPOINTS,
      kind: "map",
      comment: "cluster endpoints by NodePort and slot",
      key: [...byPort, slotField],
      data: endpoint,
    },
    {
      name: LOCAL_NODEPORT_ENDPOINTS,
      kind: "map",
      comment: "endpoints on this node by NodePort and slot",
      key: [...byPort, slotField],
      data: endpoint,
    },
    ...firewallSets(family),
  ];
}

/** The endpoint lists that the addresses of a service share. */
export function listMap(family: TableFamily, name: string): SetSpec {
  return {
    name,
    kind: "map",
    comment: "",
    key: [PROTOCOL_FIELD, PORT_FIELD, slotField],
    data: [addressField(family), PORT_FIELD],
  };
}

/** The clients of one endpoint of a service port with session affinity. */
export function affinitySet(family: TableFamily, name: string, timeoutSeconds: number): SetSpec {
  return { name, kind: "dynamic set", comment: "", key: [addressField(family)], timeoutSeconds };
}

/** TYPE_INTEGER */
const slotField: FieldType = { datatype: 4, bytes: 4, typeof: typeofRandom(MAX_ENDPOINTS) };
