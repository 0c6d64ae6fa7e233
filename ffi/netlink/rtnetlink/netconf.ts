import { AF_INET } from "../../inet.ts";
import { NLM_F_DUMP, NLM_F_REQUEST } from "../constants.ts";
import { attributes } from "../reader.ts";
import type { MessageWriter } from "../writer.ts";
import * as rt from "./constants.ts";

/** The check of sources (rp_filter) that is configured for IPv4 packets from a device. */
export interface ReversePathFilter {
  /** Index of the device, or NETCONFA_IFINDEX_ALL. */
  readonly index: number;
  /** 0: none, 1: strict, 2: loose. The higher one of the device's and that of all devices applies. */
  readonly mode: number;
}

/** `ip netconf show` for IPv4. */
export function writeDumpNetconf(message: MessageWriter, seq: number): void {
  message.begin(rt.RTM_GETNETCONF, NLM_F_REQUEST | NLM_F_DUMP, seq);
  // struct netconfmsg, with padding.
  message.rawU32le(AF_INET);
  message.end();
}

/** Decodes the payload of RTM_NEWNETCONF; undefined for the settings of future devices. */
export function decodeReversePathFilter(payload: Uint8Array): ReversePathFilter | undefined {
  let [index, mode] = [rt.NETCONFA_IFINDEX_DEFAULT, 0];
  for (const attribute of attributes(payload, rt.NETCONFMSG_BYTES)) {
    // Signed.
    if (attribute.type === rt.NETCONFA_IFINDEX) index = attribute.u32le() | 0;
    else if (attribute.type === rt.NETCONFA_RP_FILTER) mode = attribute.u32le();
  }
  return index === rt.NETCONFA_IFINDEX_DEFAULT ? undefined : { index, mode };
}
