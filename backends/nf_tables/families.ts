import { type Cidr, cidrOf, hostCidr, LOOPBACK } from "../../core/net/address.ts";
import type { Family } from "../../core/net/protocol.ts";
import { NFPROTO_IPV4, NFPROTO_IPV6 } from "../../ffi/netlink/nfnetlink.ts";
import { ICMP_PORT_UNREACH, ICMPV6_PORT_UNREACH } from "./constants.ts";

/** The differences between tables of family ip and of family ip6. */
export interface TableFamily {
  readonly family: Family;
  readonly nfproto: number;
  /** The family in nft's language. */
  readonly keyword: "ip" | "ip6";
  readonly addressBytes: 4 | 16;
  /** Byte offset in the network header. */
  readonly sourceOffset: number;
  readonly destinationOffset: number;
  /** Destinations that never reach node ports (docs/behaviour.md §4.5). */
  readonly loopback: Cidr;
  readonly portUnreachable: number;
}

const IPV4: TableFamily = {
  family: "IPv4",
  nfproto: NFPROTO_IPV4,
  keyword: "ip",
  addressBytes: 4,
  sourceOffset: 12, // struct iphdr
  destinationOffset: 16,
  loopback: cidrOf(LOOPBACK.IPv4, 8),
  portUnreachable: ICMP_PORT_UNREACH,
};

const IPV6: TableFamily = {
  family: "IPv6",
  nfproto: NFPROTO_IPV6,
  keyword: "ip6",
  addressBytes: 16,
  sourceOffset: 8, // struct ipv6hdr
  destinationOffset: 24,
  loopback: hostCidr(LOOPBACK.IPv6),
  portUnreachable: ICMPV6_PORT_UNREACH,
};

export const TABLE_FAMILIES: readonly TableFamily[] = [IPV4, IPV6];

export function tableFamilyOf(family: Family): TableFamily {
  return family === "IPv4" ? IPV4 : IPV6;
}

/** Undefined for families without a table of ours (inet, arp, bridge, netdev). */
export function tableFamilyOfProtocol(nfproto: number): TableFamily | undefined {
  return TABLE_FAMILIES.find((family) => family.nfproto === nfproto);
}
