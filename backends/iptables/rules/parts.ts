import { type Address, type Cidr, cidrOf, hostCidr, loopback } from "../../../core/net/address.ts";
import type { Family } from "../../../core/net/protocol.ts";
import type { LocalTraffic } from "../../../core/plan/plan.ts";
import { KUBE_MARK_MASQ } from "./names.ts";
import type { AddressMatch, ConntrackState, Match, Rule, Target } from "./rule.ts";

// One object for all the rules that have it: a large cluster has 300,000 rules.

export const accept: Target = { target: "ACCEPT" };
export const drop: Target = { target: "DROP" };
export const reject: Target = { target: "REJECT" };
export const markForMasquerade: Target = jump(KUBE_MARK_MASQ);

/** `-m tcp` (or udp, sctp), which alone says nothing. */
export const anyPort: Match = { match: "protocol" };
export const fromThisNode: Match = { match: "addrtype", of: "source" };
export const toThisNode: Match = { match: "addrtype", of: "destination" };

/** The addresses on which only the node itself is to be found. */
export const loopbackRanges: Readonly<Record<Family, Cidr>> = {
  IPv4: cidrOf(loopback.IPv4, 8),
  IPv6: hostCidr(loopback.IPv6),
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

/** What a rule says to match traffic of this node's pods, or all other; undefined when they cannot be told apart. */
export function podTraffic(
  localTraffic: LocalTraffic,
  inverted: boolean,
): Pick<Rule, "source"> | Pick<Rule, "inInterface"> | undefined {
  switch (localTraffic.mode) {
    case "none":
      return undefined;
    case "cidr":
      return { source: { cidr: localTraffic.cidr, inverted } };
    case "interface":
      return { inInterface: { name: localTraffic.name, inverted } };
    case "interface-prefix":
      return { inInterface: { name: `${localTraffic.prefix}+`, inverted } };
  }
}
