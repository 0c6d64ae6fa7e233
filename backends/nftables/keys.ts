import type { Address } from "../../core/net/address.ts";
import type { Protocol } from "../../core/net/protocol.ts";
import { addressKey, u32le } from "../nf_tables/keys.ts";

/** `… . numgen`: where in the list of endpoints. */
export function slotKey(slot: number): string {
  return u32le(slot);
}

/** `ip daddr . th dport`: where to. */
export function endpointValue(address: Address, port: number): string {
  return address + String.fromCharCode(port >> 8, port & 0xff, 0, 0);
}

/** `ip saddr . ip daddr . meta l4proto . th dport` of a connection of an endpoint to itself. */
export function hairpinKey(address: Address, protocol: Protocol, port: number): string {
  return address + addressKey(address, protocol, port);
}
