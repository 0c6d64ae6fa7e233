import type { Family } from "../../../../core/net/protocol.ts";
import { IPPROTO_UDP } from "../../../../ffi/inet.ts";

const ICMP_DEST_UNREACH = 3; // linux/icmp.h
const ICMP_PORT_UNREACH = 3; // linux/icmp.h
const ICMPV6_DEST_UNREACH = 1; // linux/icmpv6.h
const ICMPV6_PORT_UNREACH = 4; // linux/icmpv6.h

/** Hop limit in the quoted packet, which no receiver looks at. */
const HOP_LIMIT = 64;
/** struct icmphdr, struct icmp6hdr */
const ICMP_HEADER_BYTES = 8;
const UDP_HEADER_BYTES = 8;

/** A datagram as it arrived on this node; addresses have one character per byte. */
export interface RejectedDatagram {
  readonly source: string;
  readonly sourcePort: number;
  readonly destination: string;
  readonly destinationPort: number;
}

/**
 * Returns an ICMP message that says that nobody listens where a datagram went to, without the IP header: RFC 792 and
 * RFC 4443 §3.1. It quotes the headers of the datagram, from which the receiver finds the socket that sent it. Only the
 * IPv4 message has a checksum, because the kernel computes that of ICMPv6.
 */
export function portUnreachable(family: Family, datagram: RejectedDatagram): Uint8Array<ArrayBuffer> {
  const ipHeader = family === "IPv4" ? ipv4Header(datagram) : ipv6Header(datagram);
  const message = new Uint8Array(ICMP_HEADER_BYTES + ipHeader.length + UDP_HEADER_BYTES);
  message.set(
    family === "IPv4" ? [ICMP_DEST_UNREACH, ICMP_PORT_UNREACH] : [ICMPV6_DEST_UNREACH, ICMPV6_PORT_UNREACH],
  );
  message.set(ipHeader, ICMP_HEADER_BYTES);
  const { sourcePort, destinationPort } = datagram;
  const ports = [sourcePort >> 8, sourcePort & 0xff, destinationPort >> 8, destinationPort & 0xff];
  message.set([...ports, 0, UDP_HEADER_BYTES], ICMP_HEADER_BYTES + ipHeader.length);
  if (family === "IPv4") setChecksum(message, 2);
  return message;
}

function ipv4Header({ source, destination }: RejectedDatagram): Uint8Array<ArrayBuffer> {
  const header = new Uint8Array(20);
  // Version and length in words, then the length of the packet.
  header.set([0x45, 0, 0, header.length + UDP_HEADER_BYTES]);
  header.set([HOP_LIMIT, IPPROTO_UDP], 8);
  setAddress(header, 12, source);
  setAddress(header, 16, destination);
  setChecksum(header, 10);
  return header;
}

function ipv6Header({ source, destination }: RejectedDatagram): Uint8Array<ArrayBuffer> {
  const header = new Uint8Array(40);
  header[0] = 0x60;
  header.set([0, UDP_HEADER_BYTES, IPPROTO_UDP, HOP_LIMIT], 4);
  setAddress(header, 8, source);
  setAddress(header, 24, destination);
  return header;
}

function setAddress(bytes: Uint8Array, at: number, address: string): void {
  for (let index = 0; index < address.length; index++) bytes[at + index] = address.charCodeAt(index);
}

/** Writes the checksum of RFC 1071 over bytes whose number is even, and whose checksum is 0. */
function setChecksum(bytes: Uint8Array, at: number): void {
  let sum = 0;
  for (let index = 0; index < bytes.length; index += 2) {
    sum += (bytes[index] ?? 0) << 8 | (bytes[index + 1] ?? 0);
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  bytes[at] = ~sum >> 8 & 0xff;
  bytes[at + 1] = ~sum & 0xff;
}
