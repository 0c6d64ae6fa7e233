import { AF_INET, AF_INET6, AF_UNSPEC } from "../../inet.ts";
import { NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REQUEST } from "../constants.ts";
import { attributes } from "../reader.ts";
import type { MessageWriter } from "../writer.ts";
import * as rt from "./constants.ts";

/** An address of a network device. */
export interface DeviceAddress {
  /** Index of the device. */
  readonly index: number;
  /** AF_INET or AF_INET6. */
  readonly family: number;
  /** In network byte order: 4 or 16 bytes. */
  readonly bytes: Uint8Array;
  /** An address of the network: the same, or that of the peer on a point-to-point link. */
  readonly network: Uint8Array;
  /** Length of the network's prefix in bits. */
  readonly prefix: number;
  /** RT_SCOPE_… */
  readonly scope: number;
  /** IFA_F_… */
  readonly flags: number;
}

/** `ip address show` for all devices, because old kernels do not filter. */
export function writeDumpAddresses(message: MessageWriter, seq: number): void {
  message.begin(rt.RTM_GETADDR, NLM_F_REQUEST | NLM_F_DUMP, seq);
  ifaddrmsg(message, AF_UNSPEC, 0, 0, 0);
  message.end();
}

/**
 * `ip address add ADDRESS/PREFIX dev …`, without acknowledgement.
 * @param address a binary string of 4 or 16 bytes.
 * @param flags IFA_F_…
 */
export function writeNewAddress(
  message: MessageWriter,
  seq: number,
  index: number,
  address: string,
  prefix: number,
  flags: number,
): void {
  message.begin(rt.RTM_NEWADDR, NLM_F_REQUEST | NLM_F_CREATE | NLM_F_EXCL, seq);
  ifaddrmsg(message, familyOf(address), prefix, flags, index);
  message.attrLatin1(rt.IFA_LOCAL, address);
  message.attrLatin1(rt.IFA_ADDRESS, address);
  message.end();
}

/** `ip address delete ADDRESS/PREFIX dev …`, without acknowledgement. */
export function writeDeleteAddress(
  message: MessageWriter,
  seq: number,
  index: number,
  address: string,
  prefix: number,
): void {
  message.begin(rt.RTM_DELADDR, NLM_F_REQUEST, seq);
  ifaddrmsg(message, familyOf(address), prefix, 0, index);
  message.attrLatin1(rt.IFA_LOCAL, address);
  // IPv4 ignores the prefix length unless IFA_ADDRESS is present.
  message.attrLatin1(rt.IFA_ADDRESS, address);
  message.end();
}

/** Decodes the payload of RTM_NEWADDR and RTM_DELADDR; undefined for an address of neither IPv4 nor IPv6. */
export function decodeAddress(payload: Uint8Array): DeviceAddress | undefined {
  const family = payload[0] ?? AF_UNSPEC;
  if (family !== AF_INET && family !== AF_INET6) return undefined;
  let local: Uint8Array | undefined;
  let address: Uint8Array | undefined;
  let flags = payload[rt.IFADDRMSG_FLAGS] ?? 0;
  for (const attribute of attributes(payload, rt.IFADDRMSG_BYTES)) {
    if (attribute.type === rt.IFA_LOCAL) local = attribute.bytes;
    else if (attribute.type === rt.IFA_ADDRESS) address = attribute.bytes;
    else if (attribute.type === rt.IFA_FLAGS) flags = attribute.u32le();
  }
  const bytes = local ?? address;
  if (bytes === undefined) return undefined;
  return {
    index: deviceOfAddress(payload),
    family,
    bytes,
    network: address ?? bytes,
    prefix: payload[rt.IFADDRMSG_PREFIXLEN] ?? 0,
    scope: payload[rt.IFADDRMSG_SCOPE] ?? 0,
    flags,
  };
}

/** Index of the device in the payload of RTM_NEWADDR and RTM_DELADDR. */
export function deviceOfAddress(payload: Uint8Array): number {
  return new DataView(payload.buffer, payload.byteOffset).getInt32(rt.IFADDRMSG_INDEX, true);
}

function familyOf(address: string): number {
  return address.length === 4 ? AF_INET : AF_INET6;
}

/** Writes a struct ifaddrmsg. */
function ifaddrmsg(
  message: MessageWriter,
  family: number,
  prefix: number,
  flags: number,
  index: number,
): void {
  message.rawU8(family);
  message.rawU8(prefix);
  message.rawU8(flags);
  message.rawU8(rt.RT_SCOPE_UNIVERSE);
  message.rawU32le(index);
}
