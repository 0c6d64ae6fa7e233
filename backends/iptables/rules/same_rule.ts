import { sameCidr } from "../../../core/net/address.ts";
import { sameList } from "../../../core/objects/same_list.ts";
import type { AddressMatch, Match, Rule, Target } from "./rule.ts";

/** Whether both chains do the same to every packet in the same words. */
export function sameRules(a: readonly Rule[], b: readonly Rule[]): boolean {
  return sameList(a, b, sameRule);
}

export function sameRule(a: Rule, b: Rule): boolean {
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
