import { addressOf } from "../plans.ts";
import type { Flow } from "../../../backends/conntrack/flow.ts";
import { AF_INET, AF_INET6, IPPROTO_TCP, IPPROTO_UDP } from "../../../ffi/inet.ts";

/** A flow with addresses as text: `10.96.0.10:53`, `[fd00::10]:53`. */
export interface FlowText {
  readonly to: string;
  /** Source of the replies. Default: the destination, for a flow that is not translated. */
  readonly by?: string;
  readonly protocol?: "UDP" | "TCP";
  readonly replied?: boolean;
  readonly zone?: number;
}

export function flowFrom(text: FlowText): Flow {
  const [destination, destinationPort] = socketOf(text.to);
  const [replySource, replySourcePort] = socketOf(text.by ?? text.to);
  const isV4 = destination.length === 4;
  return {
    family: isV4 ? AF_INET : AF_INET6,
    protocol: text.protocol === "TCP" ? IPPROTO_TCP : IPPROTO_UDP,
    source: addressOf(isV4 ? "192.0.2.1" : "2001:db8::1"),
    sourcePort: 40_000,
    destination,
    destinationPort,
    replySource,
    replySourcePort,
    hasReplied: text.replied ?? true,
    zone: text.zone ?? 0,
    payload: new Uint8Array(),
  };
}

function socketOf(text: string) {
  const colon = text.lastIndexOf(":");
  return [addressOf(text.slice(0, colon).replace(/^\[|\]$/g, "")), Number(text.slice(colon + 1))] as const;
}
