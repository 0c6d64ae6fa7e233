import { type Cidr, cidrOf, hostCidr, LOOPBACK } from "../../core/net/address.ts";
import type { Family } from "../../core/net/protocol.ts";
import { NFPROTO_IPV4, NFPROTO_IPV6 } from "../../ffi/netlink/nfnetlink.ts";
import { ICMP_PORT_UNREACH, ICMPV6_PORT_UNREACH } from "./constants.ts";

/** What differs between the tables of family ip and those of family ip6. */
export interface TableFamily {
  readonly family: Family;
  readonly nfproto: number;
  /** As nft writes it. */
  readonly keyword: "ip" | "ip6";
  readonly addressBytes: 4 | 16;
  /** Byte offset in the network header. */
  readonly sourceOffset: number;
  readonly destinationOffset: number;
  /** Where node ports never answer (docs/behaviour.md §4.5). */
  readonly loopback: Cidr;
  readonly portUnreachable: number;
}

const ipv4: TableFamily = {
  family: "IPv4",
  nfproto: NFPROTO_IPV4,
  keyword: "ip",
  addressBytes: 4,
  sourceOffset: 12, // struct iphdr
  destinationOffset: 16,
  loopback: cidrOf(LOOPBACK.IPv4, 8),
  portUnreachable: ICMP_PORT_UNREACH,
};

const ipv6: TableFamily = {
  family: "IPv6",
  nfproto: NFPROTO_IPV6,
  keyword: "ip6",
  addressBytes: 16,
  sourceOffset: 8, // struct ipv6hdr
  destinationOffset: 24,
  loopback: hostCidr(LOOPBACK.IPv6),
  portUnreachable: ICMPV6_PORT_UNREACH,
};

export const tableFamilies: readonly TableFamily[] = [ipv4, ipv6];

export function tableFamilyOf(family: Family): TableFamily {
  return family === "IPv4" ? ipv4 : ipv6;
}

/** Undefined for the families we have no table in (inet, arp, bridge, netdev). */
export function tableFamilyOfProtocol(nfproto: number): TableFamily | undefined {
  return tableFamilies.find((family) => family.nfproto === nfproto);
}
