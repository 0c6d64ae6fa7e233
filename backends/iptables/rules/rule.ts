import { type Address, type Cidr, cidrOf, hostCidr, LOOPBACK, sameCidr } from "../../../core/net/address.ts";
import type { Family, Protocol } from "../../../core/net/protocol.ts";
import { sameList } from "../../../core/objects/equality.ts";

/**
 * A rule as iptables states it. In every rule the packet's fields come first, then the matches in their
 * order, then the target, independently of the order of the command's arguments. iptables-save prints and the
 * kernel evaluates a rule in this order.
 */
export interface IptablesRule {
  /** `-s` */
  readonly source?: AddressMatch;
  /** `-d` */
  readonly destination?: AddressMatch;
  /** `-i`: a name, or a prefix followed by `+`. */
  readonly inInterface?: { readonly name: string; readonly inverted: boolean };
  /** `-p` */
  readonly protocol?: Protocol;
  readonly matches: readonly Match[];
  /** `-j`; a rule without a target only counts. */
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
  /** `-m tcp --dport`, or udp or sctp, according to the rule's protocol. */
  | { readonly match: "dport"; readonly port: number }
  /** `-m tcp`, or udp or sctp, without an option: always matches. kube-proxy's DNAT rules have it. */
  | { readonly match: "protocol" }
  /** `-m conntrack --ctstate` */
  | { readonly match: "ctstate"; readonly states: readonly ConntrackState[]; readonly inverted: boolean }
  /** `-m mark --mark value/mask` */
  | { readonly match: "mark"; readonly value: number; readonly mask: number; readonly inverted: boolean }
  /** `-m addrtype --src-type LOCAL` or `--dst-type LOCAL` */
  | { readonly match: "addrtype"; readonly of: "source" | "destination" }
  /** `-m statistic --mode random --probability`: 0 to 1. */
  | { readonly match: "statistic"; readonly probability: number }
  /** `-m recent --name … --set`: always matches, and remembers the source address. */
  | { readonly match: "recent-set"; readonly name: string }
  /**
   * `-m recent --name … --rcheck --seconds … --reap`: the source address was remembered in the last seconds.
   */
  | { readonly match: "recent-check"; readonly name: string; readonly seconds: number }
  /** `-m nfacct --nfacct-name`: always matches, and counts. */
  | { readonly match: "nfacct"; readonly name: string };

export type ConntrackState = "INVALID" | "NEW" | "RELATED" | "ESTABLISHED" | "DNAT";

export type Target =
  /** `-j` to a chain. */
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

// Parts of rules. Constants are one object for all rules, because a large cluster has 300,000 rules.

export const accept: Target = { target: "ACCEPT" };
export const drop: Target = { target: "DROP" };
export const reject: Target = { target: "REJECT" };

/** `-m tcp`, or udp or sctp, without an option. */
export const anyPort: Match = { match: "protocol" };
export const fromThisNode: Match = { match: "addrtype", of: "source" };
export const toThisNode: Match = { match: "addrtype", of: "destination" };

/** Addresses that only the node itself can reach. */
export const LOOPBACK_RANGES: Readonly<Record<Family, Cidr>> = {
  IPv4: cidrOf(LOOPBACK.IPv4, 8),
  IPv6: hostCidr(LOOPBACK.IPv6),
};

export function jump(chain: string): Target {
  return { target: "jump", chain };
}

export function comment(text: string): Match {
  return { match: "comment", text };
}

export function dport(port: number): Match {
  return { match: "dport", port };
}

export function ctstate(...states: readonly ConntrackState[]): Match {
  return { match: "ctstate", states, inverted: false };
}

export function inRange(cidr: Cidr): AddressMatch {
  return { cidr, inverted: false };
}

export function outOfRange(cidr: Cidr): AddressMatch {
  return { cidr, inverted: true };
}

export function isAddress(address: Address): AddressMatch {
  return inRange(hostCidr(address));
}

/** Reports whether both lists have the same rules in the same order. */
export function sameRules(a: readonly IptablesRule[], b: readonly IptablesRule[]): boolean {
  return sameList(a, b, sameRule);
}

/** Reports whether iptables-save prints both rules alike. */
export function sameRule(a: IptablesRule, b: IptablesRule): boolean {
  return a === b || (
    a.protocol === b.protocol &&
    sameTarget(a.target, b.target) &&
    sameAddress(a.source, b.source) &&
    sameAddress(a.destination, b.destination) &&
    a.inInterface?.name === b.inInterface?.name &&
    a.inInterface?.inverted === b.inInterface?.inverted &&
    sameList(a.matches, b.matches, sameMatch)
  );
}

function sameAddress(a: AddressMatch | undefined, b: AddressMatch | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a.inverted === b.inverted && sameCidr(a.cidr, b.cidr);
}

function sameMatch(a: Match, b: Match): boolean {
  if (a === b) return true;
  switch (a.match) {
    case "comment":
      return b.match === a.match && a.text === b.text;
    case "dport":
      return b.match === a.match && a.port === b.port;
    case "protocol":
      return b.match === a.match;
    case "ctstate":
      return b.match === a.match && a.inverted === b.inverted && a.states.join() === b.states.join();
    case "mark":
      return b.match === a.match && a.inverted === b.inverted && a.value === b.value && a.mask === b.mask;
    case "addrtype":
      return b.match === a.match && a.of === b.of;
    case "statistic":
      return b.match === a.match && a.probability === b.probability;
    case "recent-set":
    case "nfacct":
      return b.match === a.match && a.name === b.name;
    case "recent-check":
      return b.match === a.match && a.name === b.name && a.seconds === b.seconds;
  }
}

function sameTarget(a: Target | undefined, b: Target | undefined): boolean {
  if (a === b) return true;
  if (a === undefined || b === undefined) return false;
  switch (a.target) {
    case "jump":
      return b.target === a.target && a.chain === b.chain;
    case "MARK":
      return b.target === a.target && a.value === b.value && a.mask === b.mask;
    case "DNAT":
      return b.target === a.target && a.port === b.port && a.address === b.address;
    case "ACCEPT":
    case "DROP":
    case "RETURN":
    case "REJECT":
    case "MASQUERADE":
      return b.target === a.target;
  }
}
