import { type Address, addressBits, addressFromBytes } from "../../../core/net/address.ts";
import {
  NLM_F_ACK,
  NLM_F_CREATE,
  NLM_F_DUMP,
  NLM_F_EXCL,
  NLM_F_REQUEST,
} from "../../../ffi/netlink/constants.ts";
import { attribute } from "../../../ffi/netlink/reader.ts";
import * as rt from "../../../ffi/netlink/rtnetlink.ts";
import type { MessageWriter } from "../../../ffi/netlink/writer.ts";
import { AF_INET, AF_INET6 } from "../../../ffi/inet.ts";

/** An interface as the kernel tells of it. */
export interface Link {
  readonly index: number;
  readonly name: string;
  /** "dummy", "veth", …; "" of a physical one. */
  readonly kind: string;
}

/** An address an interface has. */
export interface LinkAddress {
  /** Of the interface. */
  readonly index: number;
  readonly address: Address;
  /** In bits. */
  readonly prefix: number;
}

/** As ours are. */
export function hostAddress(index: number, address: Address): LinkAddress {
  return { index, address, prefix: addressBits(address) };
}

const DUMMY = "dummy";

/** `ip link show NAME` */
export function writeGetLink(writer: MessageWriter, seq: number, name: string): void {
  writer.begin(rt.RTM_GETLINK, NLM_F_REQUEST | NLM_F_ACK, seq);
  ifinfomsg(writer);
  writer.attrU32le(rt.IFLA_EXT_MASK, rt.RTEXT_FILTER_SKIP_STATS);
  writer.attrString(rt.IFLA_IFNAME, name);
  writer.end();
}

/** `ip link add NAME type dummy` */
export function writeNewDummy(writer: MessageWriter, seq: number, name: string): void {
  writer.begin(rt.RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, seq);
  ifinfomsg(writer);
  writer.attrString(rt.IFLA_IFNAME, name);
  writer.nest(rt.IFLA_LINKINFO, () => writer.attrLatin1(rt.IFLA_INFO_KIND, DUMMY));
  writer.end();
}

/** `ip link delete NAME` */
export function writeDeleteLink(writer: MessageWriter, seq: number, name: string): void {
  writer.begin(rt.RTM_DELLINK, NLM_F_REQUEST | NLM_F_ACK, seq);
  ifinfomsg(writer);
  writer.attrString(rt.IFLA_IFNAME, name);
  writer.end();
}

/** `ip addr show`: of all interfaces, for old kernels do not filter. */
export function writeDumpAddresses(writer: MessageWriter, seq: number): void {
  writer.begin(rt.RTM_GETADDR, NLM_F_REQUEST | NLM_F_DUMP, seq);
  ifaddrmsg(writer, 0, 0, 0, 0);
  writer.end();
}

/** `ip addr add ADDRESS dev …`, with nodad for IPv6: it is in force at once, and on many nodes at the same time. */
export function writeNewAddress(writer: MessageWriter, seq: number, index: number, address: Address): void {
  writer.begin(rt.RTM_NEWADDR, NLM_F_REQUEST | NLM_F_CREATE | NLM_F_EXCL, seq);
  const isIPv4 = address.length === 4;
  ifaddrmsg(writer, address.length, addressBits(address), isIPv4 ? 0 : rt.IFA_F_NODAD, index);
  writer.attrLatin1(rt.IFA_LOCAL, address);
  writer.attrLatin1(rt.IFA_ADDRESS, address);
  writer.end();
}

/** `ip addr del ADDRESS/PREFIX dev …` */
export function writeDeleteAddress(
  writer: MessageWriter,
  seq: number,
  { index, address, prefix }: LinkAddress,
): void {
  writer.begin(rt.RTM_DELADDR, NLM_F_REQUEST, seq);
  ifaddrmsg(writer, address.length, prefix, 0, index);
  writer.attrLatin1(rt.IFA_LOCAL, address);
  // Without it IPv4 takes the prefix for none of its business.
  writer.attrLatin1(rt.IFA_ADDRESS, address);
  writer.end();
}

/** Of a RTM_NEWLINK or RTM_DELLINK. */
export function linkOf(payload: Uint8Array): Link {
  return {
    index: indexAt(payload, rt.IFINFOMSG_INDEX),
    name: attribute(payload, rt.IFLA_IFNAME, rt.IFINFOMSG_BYTES)?.string() ?? "",
    kind: attribute(payload, rt.IFLA_LINKINFO, rt.IFINFOMSG_BYTES)?.attribute(rt.IFLA_INFO_KIND)?.string() ??
      "",
  };
}

/** Of a RTM_NEWADDR or RTM_DELADDR; undefined for an address of neither IPv4 nor IPv6. */
export function linkAddressOf(payload: Uint8Array): LinkAddress | undefined {
  const [family] = payload;
  if (family !== AF_INET && family !== AF_INET6) return undefined;
  const found = attribute(payload, rt.IFA_LOCAL, rt.IFADDRMSG_BYTES) ??
    attribute(payload, rt.IFA_ADDRESS, rt.IFADDRMSG_BYTES);
  if (found === undefined) return undefined;
  return {
    index: indexAt(payload, rt.IFADDRMSG_INDEX),
    address: addressFromBytes(found.bytes),
    prefix: payload[rt.IFADDRMSG_PREFIXLEN] ?? 0,
  };
}

export function isDummy({ kind }: Link): boolean {
  return kind === DUMMY;
}

/** struct ifinfomsg, of any interface */
function ifinfomsg(writer: MessageWriter): void {
  for (let at = 0; at < rt.IFINFOMSG_BYTES; at += 4) writer.rawU32le(0);
}

/** struct ifaddrmsg. @param addressBytes 0 for both families. */
function ifaddrmsg(
  writer: MessageWriter,
  addressBytes: number,
  prefix: number,
  flags: number,
  index: number,
): void {
  writer.rawU8(addressBytes === 0 ? 0 : addressBytes === 4 ? AF_INET : AF_INET6);
  writer.rawU8(prefix);
  writer.rawU8(flags);
  writer.rawU8(0);
  writer.rawU32le(index);
}

function indexAt(payload: Uint8Array, at: number): number {
  return new DataView(payload.buffer, payload.byteOffset, payload.byteLength).getInt32(at, true);
}
