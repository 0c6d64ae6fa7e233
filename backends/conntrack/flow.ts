import { type Address, addressFromBytes } from "../../core/net/address.ts";
import { NLA_HDRLEN, NLA_TYPE_MASK } from "../../ffi/netlink/constants.ts";
import { NFGENMSG_BYTES } from "../../ffi/netlink/nfnetlink.ts";
import { AF_INET } from "../../ffi/inet.ts";
import * as ct from "./ctnetlink.ts";

/** A conntrack entry of a protocol with ports. */
export interface Flow {
  /** AF_INET or AF_INET6. */
  readonly family: number;
  /** IPPROTO_… */
  readonly protocol: number;
  /** Addresses and ports that the client uses, before translation. */
  readonly source: Address;
  readonly sourcePort: number;
  readonly destination: Address;
  readonly destinationPort: number;
  /** Source of the replies: the endpoint, or the destination itself if the flow is not translated. */
  readonly replySource: Address;
  readonly replySourcePort: number;
  readonly hasReplied: boolean;
  /** Conntrack zone of the original direction; 0 unless rules assign another one. */
  readonly zone: number;
  /** Payload of the message that the flow was decoded from. */
  readonly payload: Uint8Array;
}

/**
 * Decodes the payload of a CT_NEW message. Does not use the general reader, because a table has hundreds of thousands of
 * entries and the general reader takes ten times as long.
 * @returns undefined for an entry without ports (ICMP), or a truncated one.
 */
export function decodeFlow(payload: Uint8Array): Flow | undefined {
  const end = payload.length;
  const original = find(payload, NFGENMSG_BYTES, end, ct.CTA_TUPLE_ORIG);
  const reply = find(payload, NFGENMSG_BYTES, end, ct.CTA_TUPLE_REPLY);
  if (original < 0 || reply < 0) return undefined;
  const status = find(payload, NFGENMSG_BYTES, end, ct.CTA_STATUS);
  const zone = find(payload, NFGENMSG_BYTES, end, ct.CTA_ZONE);
  const directedZone = find(payload, original, endOf(payload, original), ct.CTA_TUPLE_ZONE);

  const family = payload[0] ?? 0;
  const [ipSource, ipDestination] = family === AF_INET
    ? [ct.CTA_IP_V4_SRC, ct.CTA_IP_V4_DST]
    : [ct.CTA_IP_V6_SRC, ct.CTA_IP_V6_DST];
  const protocol = inTuple(payload, original, ct.CTA_TUPLE_PROTO, ct.CTA_PROTO_NUM);
  const source = inTuple(payload, original, ct.CTA_TUPLE_IP, ipSource);
  const sourcePort = inTuple(payload, original, ct.CTA_TUPLE_PROTO, ct.CTA_PROTO_SRC_PORT);
  const destination = inTuple(payload, original, ct.CTA_TUPLE_IP, ipDestination);
  const destinationPort = inTuple(payload, original, ct.CTA_TUPLE_PROTO, ct.CTA_PROTO_DST_PORT);
  const replySource = inTuple(payload, reply, ct.CTA_TUPLE_IP, ipSource);
  const replySourcePort = inTuple(payload, reply, ct.CTA_TUPLE_PROTO, ct.CTA_PROTO_SRC_PORT);
  const ports = Math.min(sourcePort, destinationPort, replySourcePort);
  if (Math.min(protocol, source, destination, replySource, ports) < 0) return undefined;

  return {
    family,
    protocol: payload[protocol] ?? 0,
    source: address(payload, source),
    sourcePort: u16be(payload, sourcePort),
    destination: address(payload, destination),
    destinationPort: u16be(payload, destinationPort),
    replySource: address(payload, replySource),
    replySourcePort: u16be(payload, replySourcePort),
    // IPS_SEEN_REPLY is in the last byte of the big-endian status.
    hasReplied: status >= 0 && ((payload[status + 3] ?? 0) & ct.IPS_SEEN_REPLY) !== 0,
    zone: zone >= 0 ? u16be(payload, zone) : directedZone >= 0 ? u16be(payload, directedZone) : 0,
    payload,
  };
}

/** Offset of a value inside the IP or protocol part of a tuple; -1 if it is missing. */
function inTuple(bytes: Uint8Array, tuple: number, part: number, type: number): number {
  const nest = find(bytes, tuple, endOf(bytes, tuple), part);
  return nest < 0 ? -1 : find(bytes, nest, endOf(bytes, nest), type);
}

/** Offset of the value of the first attribute of a type between two offsets; -1 if there is none. */
function find(bytes: Uint8Array, start: number, end: number, type: number): number {
  for (let at = start; at + NLA_HDRLEN <= end;) {
    const length = u16le(bytes, at);
    if (length < NLA_HDRLEN || at + length > end) return -1;
    if ((u16le(bytes, at + 2) & NLA_TYPE_MASK) === type) return at + NLA_HDRLEN;
    at += (length + 3) & ~3;
  }
  return -1;
}

/** End of the value that starts at this offset. */
function endOf(bytes: Uint8Array, value: number): number {
  return value - NLA_HDRLEN + u16le(bytes, value - NLA_HDRLEN);
}

function u16le(bytes: Uint8Array, at: number): number {
  return (bytes[at] ?? 0) | (bytes[at + 1] ?? 0) << 8;
}

function u16be(bytes: Uint8Array, at: number): number {
  return (bytes[at] ?? 0) << 8 | (bytes[at + 1] ?? 0);
}

function address(bytes: Uint8Array, at: number): Address {
  return addressFromBytes(bytes.subarray(at, endOf(bytes, at)));
}
