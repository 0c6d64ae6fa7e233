import { type Address, addressBits, addressFromBytes } from "../../../core/net/address.ts";
import { decodeAddress } from "../../../ffi/netlink/rtnetlink/address.ts";
import { difference, type SetDifference } from "../../difference.ts";

/** An address of a network device. */
export interface LinkAddress {
  /** Index of the device. */
  readonly index: number;
  readonly address: Address;
  /** Length of the prefix in bits. */
  readonly prefix: number;
}

/** An address as we add it: its prefix contains no other address. */
export function hostAddress(index: number, address: Address): LinkAddress {
  return { index, address, prefix: addressBits(address) };
}

/** Decodes the payload of RTM_NEWADDR and RTM_DELADDR; undefined for an address of neither IPv4 nor IPv6. */
export function decodeLinkAddress(payload: Uint8Array): LinkAddress | undefined {
  const decoded = decodeAddress(payload);
  if (decoded === undefined) return undefined;
  const { index, bytes, prefix } = decoded;
  return { index, address: addressFromBytes(bytes), prefix };
}

/** Addresses to add to a device, and addresses to remove from it. */
export function diffAddresses(
  desired: Iterable<Address>,
  actual: Iterable<LinkAddress>,
): SetDifference<Address, LinkAddress> {
  return difference(desired, actual, (one) => typeof one === "string" ? one : one.address);
}
