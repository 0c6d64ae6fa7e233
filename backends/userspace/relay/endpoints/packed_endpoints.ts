import { type Address, socketKey } from "../../../../core/net/address.ts";
import type { Family } from "../../../../core/net/protocol.ts";

/** Bytes of one packed endpoint: the address, then the port, big-endian. */
export const PACKED_BYTES: Readonly<Record<Family, number>> = { IPv4: 6, IPv6: 18 };

/**
 * Packs endpoints of one family, one character per byte. A string takes a tenth of the memory of objects, and a third of
 * that of a typed array, because most services have few endpoints.
 */
export function packEndpoints(
  endpoints: readonly { readonly address: Address; readonly port: number }[],
): string {
  // join() makes a flat string. A concatenation would keep its parts in memory as well.
  return endpoints.map(({ address, port }) => socketKey(address, port)).join("");
}

/** Returns one endpoint of a list, packed: a key of a Map. */
export function endpointAt(list: string, offset: number, bytes: number): string {
  return list.slice(offset, offset + bytes);
}

/** Returns the offset of an endpoint, -1 if the list does not have it. */
export function offsetOf(list: string, endpoint: string): number {
  for (let offset = 0; offset < list.length; offset += endpoint.length) {
    if (list.startsWith(endpoint, offset)) return offset;
  }
  return -1;
}

/** Splits a packed endpoint. */
export function unpackEndpoint(endpoint: string): { readonly address: Address; readonly port: number } {
  const end = endpoint.length - 2;
  return {
    address: endpoint.slice(0, end) as Address,
    port: endpoint.charCodeAt(end) << 8 | endpoint.charCodeAt(end + 1),
  };
}
