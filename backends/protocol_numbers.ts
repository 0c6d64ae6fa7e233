import type { Family, Protocol } from "../core/net/protocol.ts";
import { AF_INET, AF_INET6, IPPROTO_SCTP, IPPROTO_TCP, IPPROTO_UDP } from "../ffi/inet.ts";

/** The kernel's numbers for the protocols of services. */
export const PROTOCOL_NUMBERS: Readonly<Record<Protocol, number>> = {
  TCP: IPPROTO_TCP,
  UDP: IPPROTO_UDP,
  SCTP: IPPROTO_SCTP,
};

/** The protocol with this number; undefined for one that services do not have. */
export function protocolOfNumber(number: number): Protocol | undefined {
  switch (number) {
    case IPPROTO_TCP:
      return "TCP";
    case IPPROTO_UDP:
      return "UDP";
    case IPPROTO_SCTP:
      return "SCTP";
    default:
      return undefined;
  }
}

/** The kernel's numbers for address families. */
export const FAMILY_NUMBERS: Readonly<Record<Family, number>> = { IPv4: AF_INET, IPv6: AF_INET6 };
