import { type Address, addressFromBytes } from "../../../core/net/address.ts";
import {
  NLM_F_ACK,
  NLM_F_CREATE,
  NLM_F_DUMP,
  NLM_F_EXCL,
  NLM_F_REQUEST,
} from "../../../ffi/netlink/constants.ts";
import { attribute, type NetlinkMessage } from "../../../ffi/netlink/reader.ts";
import * as rt from "../../../ffi/netlink/rtnetlink.ts";
import type { MessageWriter } from "../../../ffi/netlink/writer.ts";
import { AF_INET, AF_INET6 } from "../../../ffi/inet.ts";

/** A network device as the kernel tells of it. */
export interface Link {
  readonly index: number;
  readonly name: string;
  /** Index of the device it is a part of, as a port is of a bridge. */
  readonly master: number | undefined;
  readonly isLoopback: boolean;
  /** Layer of the first header of packets; undefined if the programs cannot parse packets of this device. */
  readonly layer: Layer | undefined;
}

/** "l2": packets begin with an Ethernet header. "l3": they begin with an IP header. */
export type Layer = "l2" | "l3";

/** An address that packets which leave by a device may have as their source. */
export interface SourceAddress {
  readonly index: number;
  readonly address: Address;
}

export type Direction = "ingress" | "egress";

export const directions: readonly Direction[] = ["ingress", "egress"];

/** `ip link show` */
export function writeDumpLinks(writer: MessageWriter, seq: number): void {
  writer.begin(rt.RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, seq);
  for (let at = 0; at < rt.IFINFOMSG_BYTES; at += 4) writer.rawU32le(0);
  writer.attrU32le(rt.IFLA_EXT_MASK, rt.RTEXT_FILTER_SKIP_STATS);
  writer.end();
}

/** `ip addr show` */
export function writeDumpAddresses(writer: MessageWriter, seq: number): void {
  writer.begin(rt.RTM_GETADDR, NLM_F_REQUEST | NLM_F_DUMP, seq);
  for (let at = 0; at < rt.IFADDRMSG_BYTES; at += 4) writer.rawU32le(0);
  writer.end();
}

/** `tc qdisc add dev … clsact` */
export function writeNewClsact(writer: MessageWriter, seq: number, index: number): void {
  writer.begin(rt.RTM_NEWQDISC, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, seq);
  tcmsg(writer, { index, handle: rt.TC_H_CLSACT_HANDLE, parent: rt.TC_H_CLSACT, info: 0 });
  writer.attrString(rt.TCA_KIND, "clsact");
  writer.end();
}

/** `tc filter replace dev … ingress|egress prio … handle … bpf direct-action fd …` */
export function writeReplaceFilter(
  writer: MessageWriter,
  seq: number,
  { index, direction, fd, name }: {
    readonly index: number;
    readonly direction: Direction;
    readonly fd: number;
    readonly name: string;
  },
): void {
  writer.begin(rt.RTM_NEWTFILTER, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE, seq);
  tcmsg(writer, { index, handle: FILTER_HANDLE, parent: parents[direction], info: FILTER_INFO });
  writer.attrString(rt.TCA_KIND, "bpf");
  writer.nest(rt.TCA_OPTIONS, () => {
    writer.attrU32le(rt.TCA_BPF_FD, fd);
    writer.attrString(rt.TCA_BPF_NAME, name);
    writer.attrU32le(rt.TCA_BPF_FLAGS, rt.TCA_BPF_FLAG_ACT_DIRECT);
  });
  writer.end();
}

/** `tc filter del dev … ingress|egress prio … handle … bpf` */
export function writeDeleteFilter(
  writer: MessageWriter,
  seq: number,
  index: number,
  direction: Direction,
): void {
  writer.begin(rt.RTM_DELTFILTER, NLM_F_REQUEST | NLM_F_ACK, seq);
  tcmsg(writer, { index, handle: FILTER_HANDLE, parent: parents[direction], info: FILTER_INFO });
  writer.attrString(rt.TCA_KIND, "bpf");
  writer.end();
}

/** The device that lost a filter, or a qdisc with its filters; undefined when the message tells of something else. */
export function deviceThatLost({ type, payload }: NetlinkMessage): number | undefined {
  if (type !== rt.RTM_DELTFILTER && type !== rt.RTM_DELQDISC) return undefined;
  return viewOf(payload).getInt32(rt.TCMSG_IFINDEX, true);
}

/** Of a RTM_NEWLINK. */
export function linkOf(payload: Uint8Array): Link {
  const view = viewOf(payload);
  return {
    index: view.getInt32(rt.IFINFOMSG_INDEX, true),
    name: attribute(payload, rt.IFLA_IFNAME, rt.IFINFOMSG_BYTES)?.string() ?? "",
    master: attribute(payload, rt.IFLA_MASTER, rt.IFINFOMSG_BYTES)?.u32le(),
    isLoopback: (view.getUint32(rt.IFINFOMSG_FLAGS, true) & rt.IFF_LOOPBACK) !== 0,
    layer: layers.get(view.getUint16(rt.IFINFOMSG_TYPE, true)),
  };
}

/**
 * Of a RTM_NEWADDR: undefined for an address that the kernel would not choose as a source when others can be had: one
 * that is on its way in or out, an IPv4 alias, or of a link alone.
 */
export function sourceAddressOf(payload: Uint8Array): SourceAddress | undefined {
  const view = viewOf(payload);
  const family = view.getUint8(0);
  if (view.getUint8(rt.IFADDRMSG_SCOPE) !== rt.RT_SCOPE_UNIVERSE) return undefined;
  const flags = attribute(payload, rt.IFA_FLAGS, rt.IFADDRMSG_BYTES)?.u32le() ?? 0;
  if ((flags & (rt.IFA_F_DEPRECATED | rt.IFA_F_TENTATIVE)) !== 0) return undefined;
  if (family === AF_INET && (flags & rt.IFA_F_SECONDARY) !== 0) return undefined;
  if (family !== AF_INET && family !== AF_INET6) return undefined;
  const found = attribute(payload, rt.IFA_LOCAL, rt.IFADDRMSG_BYTES) ??
    attribute(payload, rt.IFA_ADDRESS, rt.IFADDRMSG_BYTES);
  if (found === undefined) return undefined;
  return { index: view.getInt32(rt.IFADDRMSG_INDEX, true), address: addressFromBytes(found.bytes) };
}

const layers: ReadonlyMap<number, Layer> = new Map([
  [rt.ARPHRD_ETHER, "l2"],
  ...[
    rt.ARPHRD_NONE,
    rt.ARPHRD_PPP,
    rt.ARPHRD_RAWIP,
    rt.ARPHRD_TUNNEL,
    rt.ARPHRD_TUNNEL6,
    rt.ARPHRD_SIT,
    rt.ARPHRD_IPGRE,
  ].map((type) => [type, "l3"] as const),
]);

const parents: Readonly<Record<Direction, number>> = {
  ingress: rt.TC_H_CLSACT_INGRESS,
  egress: rt.TC_H_CLSACT_EGRESS,
};

const FILTER_HANDLE = 1;
/** Which of several filters of a device comes first; also what tells ours from those of others, hence so odd. */
const FILTER_PRIORITY = 0x7078;
/** htons(ETH_P_ALL), linux/if_ether.h */
const ALL_PROTOCOLS = 0x0300;
/** TC_H_MAKE(priority << 16, protocol) */
const FILTER_INFO = FILTER_PRIORITY * 0x10000 + ALL_PROTOCOLS;

interface TrafficControl {
  readonly index: number;
  readonly handle: number;
  readonly parent: number;
  readonly info: number;
}

/** struct tcmsg */
function tcmsg(writer: MessageWriter, { index, handle, parent, info }: TrafficControl): void {
  for (const field of [0, index, handle, parent, info]) writer.rawU32le(field);
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
