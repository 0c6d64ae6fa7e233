import type { Family } from "./objects.ts";

declare const addressBrand: unique symbol;

/**
 * An IP address as its network-order bytes in a string: one character (0-255) a byte, 4 for IPv4, 16 for IPv6.
 * A string, because it is immutable, compares and hashes by value (a Map key as it is), and costs 24-32 bytes.
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
