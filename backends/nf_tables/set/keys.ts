import {
  type Address,
  addressFromBytes,
  type Cidr,
  formatAddress,
  formatSocketAddress,
} from "../../../core/net/address.ts";
import type { Protocol } from "../../../core/net/protocol.ts";
import type { Frontend, ServicePortPlan } from "../../../core/plan/plan.ts";
import { PROTOCOL_NUMBERS, protocolOfNumber } from "../../protocol_numbers.ts";

/**
 * Keys and values of set elements as the kernel holds them: binary strings with one character per byte.
 * Fields are padded to 4 bytes. Addresses and ports are in network byte order, numbers of numgen in host byte
 * order.
 */

export function protocolByte(protocol: Protocol): string {
  return String.fromCharCode(PROTOCOL_NUMBERS[protocol]);
}

export function portBytes(port: number): string {
  return String.fromCharCode(port >> 8, port & 0xff);
}

/** `ip daddr . meta l4proto . th dport` */
export function addressKey(address: Address, protocol: Protocol, port: number): string {
  return address + portKey(protocol, port);
}

/** Length of a padded protocol and port. */
export const PORT_KEY_BYTES = 8;

/** `meta l4proto . th dport` */
export function portKey(protocol: Protocol, port: number): string {
  return String.fromCharCode(PROTOCOL_NUMBERS[protocol], 0, 0, 0, port >> 8, port & 0xff, 0, 0);
}

/** The key of a frontend: `addressKey`, or `portKey` for a node port. */
export function frontendKey({ protocol }: ServicePortPlan, frontend: Frontend): string {
  return frontend.kind === "NodePort"
    ? portKey(protocol, frontend.port)
    : addressKey(frontend.address, protocol, frontend.port);
}

/** `ip daddr . th dport` of an endpoint, as value of a map */
export function endpointValue(address: Address, port: number): string {
  return `${address}${portBytes(port)}\0\0`;
}

/** The last address of the prefix. */
export function lastAddress(cidr: Cidr): string {
  let last = "";
  for (let index = 0; index < cidr.address.length; index++) {
    const hostBits = Math.min(8, Math.max(0, index * 8 + 8 - cidr.prefix));
    last += String.fromCharCode(cidr.address.charCodeAt(index) | (1 << hostBits) - 1);
  }
  return last;
}

/** A mask of `bytes` bytes whose first `prefix` bits are set. */
export function prefixMask(prefix: number, bytes: number): string {
  let mask = "";
  for (let bits = prefix; mask.length < bytes; bits -= 8) {
    mask += String.fromCharCode(bits >= 8 ? 0xff : bits <= 0 ? 0 : 0xff << 8 - bits & 0xff);
  }
  return mask;
}

/** A number in host byte order. Our hosts are little-endian. */
export function u32le(value: number): string {
  return String.fromCharCode(value & 0xff, value >>> 8 & 0xff, value >>> 16 & 0xff, value >>> 24);
}

/**
 * Renders the frontend in a key: `10.96.0.10:80/TCP`, or `30080/TCP` for node ports.
 * @param addressBytes length of the address that the key starts with; 0 for none.
 * @returns undefined if the key holds no frontend.
 */
export function describeFrontendKey(key: string, addressBytes: number): string | undefined {
  if (key.length < addressBytes + PORT_KEY_BYTES) return undefined;
  const number = key.charCodeAt(addressBytes);
  const protocol = protocolOfNumber(number) ?? `protocol ${number}`;
  const port = key.charCodeAt(addressBytes + 4) << 8 | key.charCodeAt(addressBytes + 5);
  if (addressBytes === 0) return `${port}/${protocol}`;
  return `${formatSocketAddress(addressIn(key.slice(0, addressBytes)), port)}/${protocol}`;
}

/** Renders a key that is an address. */
export function describeAddressKey(key: string): string {
  return formatAddress(addressIn(key));
}

function addressIn(key: string): Address {
  return addressFromBytes(Uint8Array.from(key, (character) => character.charCodeAt(0)));
}
