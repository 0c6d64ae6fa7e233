/**
 * The structs of bpf/maps/ in TypeScript: keys and values of the maps that the proxy writes and reads. A
 * test compares them with the BTF of the compiled programs. Numbers are little-endian, as on every supported
 * architecture; ports are in network order.
 */
import { type Address, addressFromBytes, type Cidr } from "../../../core/net/address.ts";
import type { Family, Protocol } from "../../../core/net/protocol.ts";
import { PROTOCOL_NUMBERS } from "../../protocol_numbers.ts";
import { checksum } from "./checksum.ts";
import { type PortRange, portsIn } from "./source_ports.ts";

/** Part of the path of pinned maps, so that maps with another layout are never taken over. */
export const LAYOUT_VERSION = 12;

/**
 * The first layout whose state is carried over. In earlier ones, members of the same name have another meaning. To change
 * a meaning from now on, give the member another name, and a value of a queue another size (programs/carry_over.ts).
 */
export const FIRST_CARRIED_LAYOUT = 10;

/** Size of each struct in bytes. */
export const SIZE = {
  address: 16,
  frontend: 20,
  service: 48,
  identity: 8,
  endpoint: 24,
  range: 24,
  traffic: 64,
  settings: 160,
  port_range: 4,
  device: 8,
  device_address_key: 8,
  device_address: 48,
  tuple: 40,
  flow: 88,
} as const;

/** Offset of each member in its struct, in bytes. */
export const OFFSET = {
  frontend: { address: 0, port: 16, protocol: 18 },
  service: {
    id: 0,
    verdict: 4,
    flags: 8,
    affinity_seconds: 12,
    cluster: 16,
    local: 24,
    serving: 32,
    generation: 40,
    check: 44,
  },
  list: { first: 0, count: 4 },
  identity: { last_id: 0, last_generation: 4 },
  endpoint: { address: 0, port: 16, flags: 20 },
  range: { prefix: 0, service: 4, address: 8 },
  traffic: { connections: 0, packets_out: 8, bytes_out: 16, packets_in: 24, bytes_in: 32, refused: 40 },
  network: { network: 0, mask: 16 },
  port_range: { first: 0, count: 2 },
  settings: {
    namespace: 0,
    flags: 8,
    port_count: 12,
    source_ports: 16,
    local_pods_ipv4: 28,
    local_pods_ipv6: 60,
    source_ipv4: 92,
    source_ipv6: 108,
    tcp_established_seconds: 124,
    tcp_closing_seconds: 128,
    udp_seconds: 132,
    udp_stream_seconds: 136,
    icmp_interval_ms: 140,
    icmpv6_interval_ms: 144,
    icmp_per_second: 148,
    icmp_burst: 152,
  },
  device: { flags: 0, bridge: 4 },
  device_address_key: { device: 0, family: 4, position: 6 },
  device_address: { address: 0, network: 16 },
  tuple: { source: 0, destination: 16, source_port: 32, destination_port: 34, protocol: 36 },
  flow: {
    translated: 0,
    service: 40,
    flags: 44,
    check: 48,
    generation: 52,
    born: 56,
    seen: 64,
    state: 72,
    end: 76,
    acked: 80,
    device: 84,
  },
} as const;

/** enum verdict */
export const VERDICT = {
  BALANCE_CLUSTER: 0,
  BALANCE_LOCAL: 1,
  LOCAL_EXTERNAL: 2,
  REJECT: 3,
  DROP: 4,
} as const;

/** Value in map `service_cidrs`: the destination is not the business of services. */
export const NO_VERDICT = -1;

/** enum service_flag */
export const SERVICE = {
  MASQUERADE_ALL: 1,
  MASQUERADE_OFF_NODE: 2,
  SOURCE_RANGES: 4,
  MAGLEV: 8,
  KIND: 16,
} as const;

/** enum frontend_kind */
export const FRONTEND = { CLUSTER_IP: 0, EXTERNAL_IP: 1, LOAD_BALANCER_IP: 2, NODE_PORT: 3 } as const;
export const FRONTEND_KINDS = 4;

/** enum endpoint_flag */
export const ENDPOINT = { LOCAL: 1 } as const;

/** enum node_address_flag */
export const NODE_ADDRESS = { PORTS: 1, OWN: 2 } as const;

/** enum setting_flag */
export const SETTING = {
  MASQUERADE_ALL: 1,
  LOCAL_BY_ADDRESS_IPV4: 2,
  LOCAL_BY_ADDRESS_IPV6: 4,
  LOCAL_BY_DEVICE: 8,
  LEAVE_NEW_FLOWS: 16,
  FORMER_FLOWS: 32,
  SOCKETS_OF_NODE: 64,
  THROUGH_STACK: 128,
} as const;

/** enum device_flag */
export const DEVICE = { LOCAL_PODS: 1, REVERSE_PATH: 2, NEEDS_ROUTE: 4, HAS_PEER: 8 } as const;

/** enum flow_flag */
export const FLOW = { REPLY: 1, NODE_PORT: 2, TO_NODE: 4, KIND: 8, THROUGH_STACK: 64 } as const;

/** enum flow_state; the enumerators begin with FLOW_, too. */
export const FLOW_STATE = {
  ANSWERED: 1,
  CLIENT_FINISHED: 2,
  ENDPOINT_FINISHED: 4,
  CLIENT_RESET: 8,
  ENDPOINT_FINISHED_FIRST: 16,
  ENDPOINT_RESET: 32,
  ASSURED: 64,
  SYN_IGNORED: 128,
  REOPENED: 256,
} as const;

/** enum flow_event; the names in lower case are values of a metric label. */
export const FLOW_EVENT = {
  CREATED: 0,
  ASSURED: 1,
  DELETED: 2,
  PORT_TAKEN: 3,
  INVALID_CLOSE: 4,
  RESTORED: 5,
} as const;

/** Number of elements of `source_ports` in struct settings. */
export const PORT_RANGES = 3;

/** enum drop_reason; the names in lower case are values of a metric label. */
export const DROP = {
  NO_ENDPOINTS: 0,
  NO_LOCAL_ENDPOINTS: 1,
  SOURCE_RANGE: 2,
  NO_SERVICE: 3,
  NO_PORT: 4,
  MALFORMED: 5,
  NO_ROUTE: 6,
  FRAGMENT: 7,
  MAP_FULL: 8,
  LOST_FLOW: 9,
  ICMP_LIMIT: 12,
  SCTP_PORT: 13,
} as const;

/** `struct service` */
export interface ServiceEntry {
  readonly id: number;
  readonly verdict: number;
  readonly flags: number;
  readonly affinitySeconds: number;
  readonly cluster: SlotRange;
  readonly local: SlotRange;
  readonly serving: SlotRange;
  readonly generation: number;
}

/** `struct list`: consecutive slots of map `endpoints`. */
export interface SlotRange {
  readonly first: number;
  readonly count: number;
}

/** A view of all bytes of an array. */
export function viewOf(bytes: Uint8Array<ArrayBuffer>): DataView<ArrayBuffer> {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Writes `struct address`, IPv4 as ::ffff:a.b.c.d. */
export function writeAddress(to: DataView, offset: number, address: Address): void {
  if (address.length === 4) {
    to.setUint32(offset, 0);
    to.setUint32(offset + 4, 0);
    to.setUint32(offset + 8, 0xffff);
    to.setInt32(offset + 12, wordOf(address, 0));
  } else {
    for (let index = 0; index < 16; index += 4) to.setInt32(offset + index, wordOf(address, index));
  }
}

/**
 * Four bytes of an address, because one store is faster than four and there are hundreds of thousands of
 * addresses.
 */
function wordOf(address: Address, index: number): number {
  return address.charCodeAt(index) << 24 | address.charCodeAt(index + 1) << 16 |
    address.charCodeAt(index + 2) << 8 | address.charCodeAt(index + 3);
}

/** Writes `struct frontend` for an address and port of a service. */
export function writeFrontend(
  to: DataView,
  offset: number,
  address: Address,
  port: number,
  protocol: Protocol,
): void {
  writeAddress(to, offset, address);
  writePort(to, offset, port, PROTOCOL_NUMBERS[protocol]);
}

/** Writes `struct frontend` for a NodePort. */
export function writeNodePort(
  to: DataView,
  offset: number,
  family: Family,
  port: number,
  protocol: Protocol,
): void {
  to.setBigUint64(offset, 0n);
  to.setUint32(offset + 8, family === "IPv4" ? 0xffff : 0);
  to.setUint32(offset + 12, 0);
  writePort(to, offset, port, PROTOCOL_NUMBERS[protocol]);
}

/** Writes `struct frontend` for the catch-all entry of a ClusterIP, with port 0 and protocol 0. */
export function writeCatchAll(to: DataView, offset: number, address: Address): void {
  writeAddress(to, offset, address);
  writePort(to, offset, 0, 0);
}

function writePort(to: DataView, offset: number, port: number, protocol: number): void {
  to.setUint16(offset + OFFSET.frontend.port, port);
  to.setUint16(offset + OFFSET.frontend.protocol, protocol, true);
}

/** Writes `struct service` for the `struct frontend` at `keyOffset` of `keys`. */
export function writeService(
  to: DataView,
  offset: number,
  service: ServiceEntry,
  keys: DataView,
  keyOffset: number,
): void {
  const at = OFFSET.service;
  to.setUint32(offset + at.id, service.id, true);
  to.setUint32(offset + at.verdict, service.verdict, true);
  to.setUint32(offset + at.flags, service.flags, true);
  to.setUint32(offset + at.affinity_seconds, service.affinitySeconds, true);
  writeList(to, offset + at.cluster, service.cluster);
  writeList(to, offset + at.local, service.local);
  writeList(to, offset + at.serving, service.serving);
  to.setUint32(offset + at.generation, service.generation, true);
  to.setInt32(offset + at.check, checksum([[keys, keyOffset, SIZE.frontend], [to, offset, at.check]]), true);
}

function writeList(to: DataView, offset: number, { first, count }: SlotRange): void {
  to.setUint32(offset + OFFSET.list.first, first, true);
  to.setUint32(offset + OFFSET.list.count, count, true);
}

export function readService(from: DataView, offset: number): ServiceEntry {
  const at = OFFSET.service;
  return {
    id: from.getUint32(offset + at.id, true),
    verdict: from.getUint32(offset + at.verdict, true),
    flags: from.getUint32(offset + at.flags, true),
    affinitySeconds: from.getUint32(offset + at.affinity_seconds, true),
    cluster: readList(from, offset + at.cluster),
    local: readList(from, offset + at.local),
    serving: readList(from, offset + at.serving),
    generation: from.getUint32(offset + at.generation, true),
  };
}

function readList(from: DataView, offset: number): SlotRange {
  return {
    first: from.getUint32(offset + OFFSET.list.first, true),
    count: from.getUint32(offset + OFFSET.list.count, true),
  };
}

/** Writes `struct endpoint`. */
export function writeEndpoint(
  to: DataView,
  offset: number,
  address: Address,
  port: number,
  isLocal: boolean,
): void {
  writeAddress(to, offset, address);
  to.setUint16(offset + OFFSET.endpoint.port, port);
  to.setUint16(offset + OFFSET.endpoint.port + 2, 0);
  to.setUint32(offset + OFFSET.endpoint.flags, isLocal ? ENDPOINT.LOCAL : 0, true);
}

/** Writes `struct range`. @param service the service's id; 0 in map `service_cidrs`. */
export function writeRange(to: DataView, offset: number, service: number, { address, prefix }: Cidr): void {
  const bits = address.length === 4 ? 96 + prefix : prefix;
  to.setUint32(offset + OFFSET.range.prefix, 32 + bits, true);
  to.setUint32(offset + OFFSET.range.service, service, true);
  writeAddress(to, offset + OFFSET.range.address, address);
}

/** Writes `struct network`: an address belongs to it if `address & mask` equals the network. */
export function writeNetwork(to: DataView, offset: number, { address, prefix }: Cidr): void {
  writeAddress(to, offset + OFFSET.network.network, address);
  const bits = address.length === 4 ? 96 + prefix : prefix;
  for (let index = 0; index < SIZE.address; index++) {
    const kept = Math.min(Math.max(bits - index * 8, 0), 8);
    to.setUint8(offset + OFFSET.network.mask + index, 0xff00 >> kept & 0xff);
  }
}

/** Offsets of the members of `struct settings` that change while programs of two versions are attached. */
export type SettingsOffsets = Readonly<Record<"flags" | "source_ports" | "port_count", number>>;

/**
 * Writes the source ports of `struct settings`.
 * @param ranges at most `PORT_RANGES`.
 * @param at offsets of the members.
 */
export function writePortRanges(
  to: DataView,
  ranges: readonly PortRange[],
  at: Pick<SettingsOffsets, "source_ports" | "port_count"> = OFFSET.settings,
): void {
  let count = 0;
  for (let index = 0; index < PORT_RANGES; index++) {
    const range = ranges[index];
    const offset = at.source_ports + index * SIZE.port_range;
    to.setUint16(offset + OFFSET.port_range.first, range?.first ?? 0, true);
    to.setUint16(offset + OFFSET.port_range.count, range === undefined ? 0 : portsIn(range), true);
    count += range === undefined ? 0 : portsIn(range);
  }
  to.setUint32(at.port_count, count, true);
}

/** `struct tuple` */
export interface Tuple {
  readonly source: Address;
  readonly sourcePort: number;
  readonly destination: Address;
  readonly destinationPort: number;
  /** IPPROTO_… */
  readonly protocol: number;
}

export function readTuple(from: DataView<ArrayBuffer>, offset: number): Tuple {
  const at = OFFSET.tuple;
  return {
    source: readAddress(from, offset + at.source),
    sourcePort: from.getUint16(offset + at.source_port),
    destination: readAddress(from, offset + at.destination),
    destinationPort: from.getUint16(offset + at.destination_port),
    protocol: from.getUint8(offset + at.protocol),
  };
}

/** Reads `struct address`. */
export function readAddress(from: DataView<ArrayBuffer>, offset: number): Address {
  const isIPv4 = from.getBigUint64(offset) === 0n && from.getUint32(offset + 8) === 0xffff;
  const start = from.byteOffset + offset;
  return addressFromBytes(
    isIPv4 ? new Uint8Array(from.buffer, start + 12, 4) : new Uint8Array(from.buffer, start, SIZE.address),
  );
}
