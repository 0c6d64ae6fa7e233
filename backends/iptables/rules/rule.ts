import type { Address, Cidr } from "../../../core/net/address.ts";
import type { Protocol } from "../../../core/net/protocol.ts";

/**
 * A rule as iptables states it. The packet's fields come first whatever the order of a command's arguments, then the
 * matches in their order, then the target: the order in which iptables-save prints them and the kernel checks them.
 */
export interface Rule {
  /** `-s` */
  readonly source?: AddressMatch;
  /** `-d` */
  readonly destination?: AddressMatch;
  /** `-i`: a name, or a prefix of names with `+` behind it. */
  readonly inInterface?: { readonly name: string; readonly inverted: boolean };
  /** `-p` */
  readonly protocol?: Protocol;
  readonly matches: readonly Match[];
  /** `-j`; a rule without one only counts. */
  readonly target?: Target;
}

export interface AddressMatch {
  readonly cidr: Cidr;
  /** `!` */
  readonly inverted: boolean;
}

export type Match =
  /** `-m comment --comment` */
  | { readonly match: "comment"; readonly text: string }
  /** `-m tcp --dport` (or udp, sctp), as the rule's protocol says. */
  | { readonly match: "dport"; readonly port: number }
  /** `-m tcp` (or udp, sctp) without an option: always matches, and upstream's DNAT rules have it. */
  | { readonly match: "protocol" }
  /** `-m conntrack --ctstate` */
  | { readonly match: "ctstate"; readonly states: readonly ConntrackState[]; readonly inverted: boolean }
  /** `-m mark --mark value/mask` */
  | { readonly match: "mark"; readonly value: number; readonly mask: number; readonly inverted: boolean }
  /** `-m addrtype --src-type LOCAL` or `--dst-type LOCAL` */
  | { readonly match: "addrtype"; readonly of: "source" | "destination" }
  /** `-m statistic --mode random --probability`: 0 to 1. */
  | { readonly match: "statistic"; readonly probability: number }
  /** `-m recent --name … --set`: the source is remembered. */
  | { readonly match: "recent-set"; readonly name: string }
  /** `-m recent --name … --rcheck --seconds … --reap`: the source was remembered so recently. */
  | { readonly match: "recent-check"; readonly name: string; readonly seconds: number }
  /** `-m nfacct --nfacct-name`: counts, and always matches. */
  | { readonly match: "nfacct"; readonly name: string };

export type ConntrackState = "INVALID" | "NEW" | "RELATED" | "ESTABLISHED" | "DNAT";

export type Target =
  /** `-j` to a chain of ours. */
  | { readonly target: "jump"; readonly chain: string }
  | { readonly target: "ACCEPT" | "DROP" | "RETURN" }
  /** `-j REJECT`: ICMP port unreachable. */
  | { readonly target: "REJECT" }
  /** `-j MARK --set-xmark value/mask`: mark = (mark & ~mask) ^ value. */
  | { readonly target: "MARK"; readonly value: number; readonly mask: number }
  /** `-j MASQUERADE --random-fully` */
  | { readonly target: "MASQUERADE" }
  /** `-j DNAT --to-destination address:port` */
  | { readonly target: "DNAT"; readonly address: Address; readonly port: number };
