import type { Address } from "../../../core/net/address.ts";
import type { Family } from "../../../core/net/protocol.ts";

/** Bytes of one packed endpoint: the address, then the port, big-endian. */
export const PACKED_BYTES: Readonly<Record<Family, number>> = { IPv4: 6, IPv6: 18 };

/** One array for all empty lists, of which there may be 10,000, and which postMessage copies once per message. */
const NO_ENDPOINTS = new Uint8Array();

/** Packs endpoints of one family, which takes a tenth of the memory of objects. */
export function packEndpoints(
  endpoints: readonly { readonly address: Address; readonly port: number }[],
): Uint8Array<ArrayBuffer> {
  if (endpoints.length === 0) return NO_ENDPOINTS;
  const bytes = new Uint8Array(endpoints.reduce((sum, { address }) => sum + address.length + 2, 0));
  let at = 0;
  for (const { address, port } of endpoints) {
    for (let index = 0; index < address.length; index++) bytes[at++] = address.charCodeAt(index);
    bytes[at++] = port >> 8;
    bytes[at++] = port & 0xff;
  }
  return bytes;
}

/** Returns one endpoint as a string of its packed bytes, a key of a Map. */
export function endpointAt(list: Uint8Array, offset: number, bytes: number): string {
  return String.fromCharCode(...list.subarray(offset, offset + bytes));
}

/** Returns the offset of an endpoint, -1 if the list does not have it. */
export function offsetOf(list: Uint8Array, endpoint: string): number {
  const bytes = endpoint.length;
  for (let offset = 0; offset < list.length; offset += bytes) {
    let index = 0;
    while (index < bytes && list[offset + index] === endpoint.charCodeAt(index)) index++;
    if (index === bytes) return offset;
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
