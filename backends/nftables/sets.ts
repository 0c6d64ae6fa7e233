import type { TableFamily } from "../nf_tables/families.ts";
import * as nft from "../nf_tables/constants.ts";
import * as userdata from "./userdata.ts";

/** Sets and maps of upstream's table: same name, same type, same contents. */
export const CLUSTER_IPS = "cluster-ips";
export const NODEPORT_IPS = "nodeport-ips";
export const HAIRPIN_CONNECTIONS = "hairpin-connections";
export const SERVICE_IPS = "service-ips";
export const SERVICE_NODEPORTS = "service-nodeports";
export const NO_ENDPOINT_SERVICES = "no-endpoint-services";
export const NO_ENDPOINT_NODEPORTS = "no-endpoint-nodeports";
/** Ours: the endpoints of a frontend, by frontend and slot. */
export const ENDPOINTS = "endpoints";
export const LOCAL_ENDPOINTS = "local-endpoints";
export const NODEPORT_ENDPOINTS = "nodeport-endpoints";
export const LOCAL_NODEPORT_ENDPOINTS = "local-nodeport-endpoints";
/** Ours: load-balancer frontends with source ranges, and who may use them. */
export const FIREWALL_SERVICES = "firewall-services";
export const FIREWALL_ALLOWED = "firewall-allowed";

/** What a set's elements are besides their key. */
export type SetKind =
  | "set"
  /** Elements are ranges from a key to a key. */
  | "interval set"
  /** Rules add elements, and the kernel removes them after a time. */
  | "dynamic set"
  /** Elements have data. */
  | "map"
  /** Elements have a verdict. */
  | "verdict map";

export interface SetSpec {
  readonly name: string;
  readonly kind: SetKind;
  readonly comment: string;
  readonly key: readonly FieldType[];
  /** Of a map. */
  readonly data?: readonly FieldType[];
  /** Of a dynamic set. */
  readonly timeoutSeconds?: number;
}

/** One field of a key. */
export interface FieldType {
  /** nft's number for the type. nftables/include/datatype.h, enum datatypes */
  readonly datatype: number;
  /** Without padding. */
  readonly bytes: number;
  /** How a declaration by `typeof` names it. */
  readonly typeof: string;
}

/** The modulus only declares the key's type: any number of endpoints up to it can be looked up. */
const MOST_ENDPOINTS = 65535;

/** The sets of one table, in the order they are listed. `nodeport-ips` only where addresses are enumerated. */
export function setsOf(family: TableFamily, enumeratesNodePorts: boolean): readonly SetSpec[] {
  const address = addressField(family);
  const byAddress = [address, protocolField, portField];
  const byPort = [protocolField, portField];
  const endpoint = [address, portField];
  const nodePortIPs: SetSpec = {
    name: NODEPORT_IPS,
    kind: "set",
    comment: "addresses that accept NodePort traffic",
    key: [address],
  };
  return [
    { name: CLUSTER_IPS, kind: "set", comment: "active ClusterIPs", key: [address] },
    ...(enumeratesNodePorts ? [nodePortIPs] : []),
    {
      name: HAIRPIN_CONNECTIONS,
      kind: "set",
      comment: "connections of a local endpoint to itself",
      key: [address, ...byAddress],
    },
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
    {
      name: FIREWALL_SERVICES,
      kind: "set",
      comment: "load balancer frontends with source ranges",
      key: byAddress,
    },
    {
      name: FIREWALL_ALLOWED,
      kind: "interval set",
      comment: "sources that may use them",
      key: [...byAddress, address],
    },
  ];
}

/** The clients that one endpoint of a service port with session affinity has. */
export function affinitySet(family: TableFamily, name: string, timeoutSeconds: number): SetSpec {
  return { name, kind: "dynamic set", comment: "", key: [addressField(family)], timeoutSeconds };
}

function addressField(family: TableFamily): FieldType {
  return {
    datatype: family.addressBytes === 4 ? 7 : 8, // TYPE_IPADDR, TYPE_IP6ADDR
    bytes: family.addressBytes,
    typeof: userdata.typeofDestination(family),
  };
}

/** TYPE_INET_PROTOCOL */
const protocolField: FieldType = { datatype: 12, bytes: 1, typeof: userdata.typeofProtocol };
/** TYPE_INET_SERVICE */
const portField: FieldType = { datatype: 13, bytes: 2, typeof: userdata.typeofDestinationPort };
/** TYPE_INTEGER */
const slotField: FieldType = { datatype: 4, bytes: 4, typeof: userdata.typeofRandom(MOST_ENDPOINTS) };

/** A set's flags, as the kernel reports them. */
export function flagsOf(spec: SetSpec): number {
  switch (spec.kind) {
    case "set":
      return 0;
    case "interval set":
      return nft.NFT_SET_INTERVAL | nft.NFT_SET_CONCAT;
    case "dynamic set":
      return nft.NFT_SET_EVAL | nft.NFT_SET_TIMEOUT;
    case "map":
    case "verdict map":
      return nft.NFT_SET_MAP;
  }
}

/** Bytes of a key or of data: every field is padded to 4. */
export function lengthOf(fields: readonly FieldType[]): number {
  return fields.reduce((sum, field) => sum + (field.bytes + 3 & ~3), 0);
}

/** nft packs the types of a concatenation, 6 bits each. The kernel only keeps the number. */
export function datatypeOf(fields: readonly FieldType[]): number {
  return fields.reduce((packed, field) => packed << 6 | field.datatype, 0);
}

/** Maps are declared by `typeof`, for no type name says "numgen"; all else by types, as upstream does it. */
export function userdataOf(spec: SetSpec): string {
  const byType: userdata.Declared = spec.key.length === 1 ? { by: "type" } : { by: "concatenated types" };
  switch (spec.kind) {
    case "map":
      return userdata.set(typeofs(spec.key), typeofs(spec.data ?? []), spec.comment);
    case "verdict map":
      return userdata.set(byType, "verdict", spec.comment);
    default:
      return userdata.set(byType, undefined, spec.comment);
  }
}

function typeofs(fields: readonly FieldType[]): userdata.Declared {
  return { by: "typeof", fields: fields.map((field) => field.typeof) };
}
