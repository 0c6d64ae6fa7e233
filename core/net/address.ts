import type { Family } from "./protocol.ts";

declare const addressBrand: unique symbol;

/**
 * An IP address: a string of its bytes in network order, one character (0-255) per byte, 4 for IPv4 and 16
 * for IPv6. A string is immutable, compares and hashes by value (so it can be a Map key), and costs 24-32
 * bytes.
 */
export type Address = string & { readonly [addressBrand]: true };

/** A prefix whose host bits are zero. `prefix` is in bits: 0-32 or 0-128. */
export interface Cidr {
  readonly address: Address;
  readonly prefix: number;
}

export function familyOf(address: Address): Family {
  return address.length === 4 ? "IPv4" : "IPv6";
}

/** Length of an address in bits: 32 or 128. */
export function addressBits(address: Address): number {
  return address.length * 8;
}

/**
 * Parses an address as Kubernetes does: the numbers of an IPv4 address may have leading zeros (and are
 * decimal), and an IPv4-mapped IPv6 address (`::ffff:10.0.0.1`) is the IPv4 address that it maps. Zones
 * (`%eth0`) are not accepted. Returns undefined when the text is not an address.
 */
export function parseAddress(text: string): Address | undefined {
  // No address is longer, even with many leading zeros. This bounds the work for hostile text.
  if (text.length > 64) return undefined;
  if (text.includes(":")) return parseIPv6(text);
  const packed = readIPv4(text, 0);
  return packed < 0 ? undefined : ipv4(packed);
}

/**
 * Parses `address/prefix` and clears the host bits. An IPv4-mapped prefix of at least /96 is the IPv4 prefix
 * that it maps. Returns undefined when the text is not a CIDR.
 */
export function parseCidr(text: string): Cidr | undefined {
  const slash = text.indexOf("/");
  if (slash < 0) return undefined;
  const digits = text.slice(slash + 1);
  if (!/^\d{1,3}$/.test(digits)) return undefined;
  const address = parseAddress(text.slice(0, slash));
  if (address === undefined) return undefined;
  const mapped = address.length === 4 && text.includes(":");
  const prefix = Number(digits) - (mapped ? 96 : 0);
  return prefix < 0 || prefix > addressBits(address) ? undefined : cidrOf(address, prefix);
}

/** Returns the prefix of `prefix` bits that contains `address`. */
export function cidrOf(address: Address, prefix: number): Cidr {
  const bytes: number[] = [];
  for (let index = 0; index < address.length; index++) {
    bytes.push(address.charCodeAt(index) & byteMask(prefix - index * 8));
  }
  return { address: fromBytes(bytes), prefix };
}

/** Returns the prefix that contains only this address: /32 or /128. */
export function hostCidr(address: Address): Cidr {
  return { address, prefix: addressBits(address) };
}

/** Converts 4 or 16 bytes in network order, as the kernel returns them. */
export function addressFromBytes(bytes: Uint8Array): Address {
  if (bytes.length !== 4 && bytes.length !== 16) {
    throw new RangeError(`an IP address has 4 or 16 bytes, not ${bytes.length}`);
  }
  return fromBytes(bytes);
}

/** Formats `10.0.0.1`, or IPv6 text as in RFC 5952 (IPv4-mapped addresses as `::ffff:10.0.0.1`). */
export function formatAddress(address: Address): string {
  return address.length === 4 ? formatIPv4(address, 0) : formatIPv6(address);
}

/** Formats `10.0.0.0/8`. */
export function formatCidr(cidr: Cidr): string {
  return `${formatAddress(cidr.address)}/${cidr.prefix}`;
}

/** Formats `10.0.0.1:80` or `[fd00::1]:80`. */
export function formatSocketAddress(address: Address, port: number): string {
  return address.length === 4 ? `${formatAddress(address)}:${port}` : `[${formatAddress(address)}]:${port}`;
}

/** Key of a Map for an address and a port. */
export function socketKey(address: Address, port: number): string {
  return [address, String.fromCharCode(port >> 8, port & 0xff)].join("");
}

/** Orders IPv4 before IPv6, and within a family by value. */
export function compareAddresses(a: Address, b: Address): number {
  if (a.length !== b.length) return a.length - b.length;
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Orders by address. Of prefixes with the same address the widest comes first. */
function compareCidrs(a: Cidr, b: Cidr): number {
  return compareAddresses(a.address, b.address) || a.prefix - b.prefix;
}

export function sameCidr(a: Cidr, b: Cidr): boolean {
  return a.prefix === b.prefix && a.address === b.address;
}

/** Reports whether the address is in the prefix; false across families. */
export function contains(cidr: Cidr, address: Address): boolean {
  if (cidr.address.length !== address.length) return false;
  const whole = cidr.prefix >> 3;
  for (let index = 0; index < whole; index++) {
    if (cidr.address.charCodeAt(index) !== address.charCodeAt(index)) return false;
  }
  const mask = byteMask(cidr.prefix - whole * 8);
  return mask === 0 || ((cidr.address.charCodeAt(whole) ^ address.charCodeAt(whole)) & mask) === 0;
}

/** Reports whether every address of `inner` is in `outer`. */
export function covers(outer: Cidr, inner: Cidr): boolean {
  return outer.prefix <= inner.prefix && contains(outer, inner.address);
}

/** Sorts the prefixes and removes those that another one covers. */
export function normaliseCidrs(cidrs: readonly Cidr[]): readonly Cidr[] {
  const kept: Cidr[] = [];
  // Two prefixes are either disjoint, or one covers the other and sorts first. So only the last prefix kept
  // can cover the next one.
  for (const cidr of cidrs.toSorted(compareCidrs)) {
    const last = kept.at(-1);
    if (last === undefined || !covers(last, cidr)) kept.push(cidr);
  }
  return kept;
}

/** Reports whether the address is in 127.0.0.0/8, or is ::1. */
export function isLoopback(address: Address): boolean {
  return address.length === 4 ? address.charCodeAt(0) === 127 : address === LOOPBACK.IPv6;
}

/** Reports whether the address is in 169.254.0.0/16 or fe80::/10. */
export function isLinkLocal(address: Address): boolean {
  const [first, second] = [address.charCodeAt(0), address.charCodeAt(1)];
  return address.length === 4 ? first === 169 && second === 254 : first === 0xfe && (second & 0xc0) === 0x80;
}

/** Reports whether the address is 0.0.0.0 or ::, "any address". */
export function isUnspecified(address: Address): boolean {
  return address === UNSPECIFIED[familyOf(address)];
}

/** Reports whether the address is in 224.0.0.0/4 or ff00::/8. */
export function isMulticast(address: Address): boolean {
  const first = address.charCodeAt(0);
  return address.length === 4 ? first >> 4 === 0xe : first === 0xff;
}

/** Reports whether the address is 255.255.255.255. */
export function isBroadcast(address: Address): boolean {
  return address === "\xff\xff\xff\xff";
}

/** 127.0.0.1 and ::1. */
export const LOOPBACK: Readonly<Record<Family, Address>> = {
  IPv4: fromBytes([127, 0, 0, 1]),
  IPv6: fromBytes([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
};

/** 0.0.0.0 and ::. */
export const UNSPECIFIED: Readonly<Record<Family, Address>> = {
  IPv4: fromBytes(new Uint8Array(4)),
  IPv6: fromBytes(new Uint8Array(16)),
};

/** Mask of one byte for a prefix that covers its first `bits` bits; `bits` may be below 0 or above 8. */
function byteMask(bits: number): number {
  if (bits <= 0) return 0;
  return bits >= 8 ? 0xff : (0xff << (8 - bits)) & 0xff;
}

function fromBytes(bytes: ArrayLike<number> & Iterable<number>): Address {
  return String.fromCharCode(...bytes) as Address;
}

function ipv4(packed: number): Address {
  const third = Math.trunc(packed / 0x100);
  const second = Math.trunc(packed / 0x10000);
  const first = Math.trunc(packed / 0x1000000);
  return String.fromCharCode(first, second & 0xff, third & 0xff, packed & 0xff) as Address;
}

const DOT = 0x2e;
const COLON = 0x3a;

/** Parses the dotted quad from `start` to the end of `text` into 32 bits; -1 when it is not one. */
function readIPv4(text: string, start: number): number {
  let packed = 0;
  let dots = 0;
  let number = -1;
  for (let index = start; index < text.length; index++) {
    const code = text.charCodeAt(index);
    if (code === DOT) {
      if (number < 0 || ++dots > 3) return -1;
      packed = packed * 256 + number;
      number = -1;
    } else {
      const digit = code - 0x30;
      if (digit < 0 || digit > 9) return -1;
      number = number < 0 ? digit : number * 10 + digit;
      if (number > 255) return -1;
    }
  }
  return dots !== 3 || number < 0 ? -1 : packed * 256 + number;
}

/** The address being parsed. One buffer suffices, because parsing is never interrupted. */
const groups = new Uint16Array(8);

function parseIPv6(text: string): Address | undefined {
  groups.fill(0);
  let count = 0;
  /** Number of groups before the "::". */
  let gap = -1;
  let position = 0;
  if (text.startsWith("::")) {
    gap = 0;
    position = 2;
  }
  while (position < text.length) {
    if (count === 8) return undefined;
    const start = position;
    let group = 0;
    let digit: number;
    while ((digit = hexDigit(text.charCodeAt(position))) >= 0) {
      group = group * 16 + digit;
      position++;
    }
    if (text.charCodeAt(position) === DOT) {
      const packed = readIPv4(text, start);
      if (packed < 0 || count > 6) return undefined;
      groups[count++] = Math.trunc(packed / 0x10000);
      groups[count++] = packed & 0xffff;
      break;
    }
    if (position === start || position - start > 4) return undefined;
    groups[count++] = group;
    if (position === text.length) break;
    if (text.charCodeAt(position++) !== COLON) return undefined;
    if (text.charCodeAt(position) === COLON) {
      if (gap >= 0) return undefined;
      gap = count;
      position++;
    } else if (position === text.length) {
      return undefined;
    }
  }
  if (gap < 0 ? count !== 8 : count === 8) return undefined;
  if (gap >= 0) {
    groups.copyWithin(8 - (count - gap), gap, count);
    groups.fill(0, gap, 8 - (count - gap));
  }
  return fromGroups();
}

function fromGroups(): Address {
  const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0] = groups;
  if ((a | b | c | d | e) === 0 && f === 0xffff) return ipv4(g * 0x10000 + h);
  // deno-fmt-ignore
  return String.fromCharCode(
    a >> 8, a & 0xff, b >> 8, b & 0xff, c >> 8, c & 0xff, d >> 8, d & 0xff,
    e >> 8, e & 0xff, f >> 8, f & 0xff, g >> 8, g & 0xff, h >> 8, h & 0xff,
  ) as Address;
}

/** Value of a hexadecimal digit; -1 for another character. */
function hexDigit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  const lower = code | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}

function formatIPv4(address: string, start: number): string {
  const at = (index: number) => address.charCodeAt(start + index);
  return `${at(0)}.${at(1)}.${at(2)}.${at(3)}`;
}

function formatIPv6(address: string): string {
  if (address.startsWith("\0\0\0\0\0\0\0\0\0\0\xff\xff")) return `::ffff:${formatIPv4(address, 12)}`;
  const hex: string[] = [];
  for (let index = 0; index < 16; index += 2) {
    hex.push((address.charCodeAt(index) << 8 | address.charCodeAt(index + 1)).toString(16));
  }
  const { start, length } = longestZeroRun(hex);
  if (length < 2) return hex.join(":");
  return `${hex.slice(0, start).join(":")}::${hex.slice(start + length).join(":")}`;
}

/** The first of the longest runs of zero groups, which RFC 5952 §4.2.3 writes as "::". */
function longestZeroRun(hex: readonly string[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  let length = 0;
  for (const [index, group] of hex.entries()) {
    length = group === "0" ? length + 1 : 0;
    if (length > best.length) best = { start: index - length + 1, length };
  }
  return best;
}
