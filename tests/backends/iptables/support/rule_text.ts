import { formatCidr, formatSocketAddress } from "../../../../core/net/address.ts";
import type {
  AddressMatch,
  ConntrackState,
  IptablesRule,
  Match,
  Target,
} from "../../../../backends/iptables/rules/rule.ts";
import { CERTAINTY } from "../../../../backends/iptables/wire/xt.ts";

/** A rule as iptables-save 1.8.9 prints it, without `-A CHAIN`. */
export function ruleText(rule: IptablesRule, family: "IPv4" | "IPv6"): string {
  const words: string[] = [];
  words.push(...addressWords("-s", rule.source), ...addressWords("-d", rule.destination));
  if (rule.inInterface !== undefined) {
    words.push(...not(rule.inInterface.inverted), "-i", rule.inInterface.name);
  }
  const protocol = rule.protocol?.toLowerCase() ?? "all";
  if (rule.protocol !== undefined) words.push("-p", protocol);
  for (const match of rule.matches) words.push("-m", matchText(match, protocol, family));
  if (rule.target !== undefined) words.push("-j", targetText(rule.target, family));
  return words.join(" ");
}

function addressWords(option: string, match: AddressMatch | undefined): string[] {
  // Prefix 0 matches every address.
  if (match === undefined || match.cidr.prefix === 0) return [];
  return [...not(match.inverted), option, formatCidr(match.cidr)];
}

function not(inverted: boolean): string[] {
  return inverted ? ["!"] : [];
}

function matchText(match: Match, protocol: string, family: "IPv4" | "IPv6"): string {
  switch (match.match) {
    case "comment":
      return `comment --comment ${quoted(match.text)}`;
    case "protocol":
      return protocol;
    case "dport":
      return `${protocol} --dport ${match.port}`;
    case "ctstate": {
      const states = conntrackStates.filter((state) => match.states.includes(state));
      return ["conntrack", ...not(match.inverted), "--ctstate", states.join(",")].join(" ");
    }
    case "mark": {
      const mask = match.mask >>> 0 === 0xffffffff ? "" : `/${hex(match.mask)}`;
      return ["mark", ...not(match.inverted), "--mark", hex(match.value) + mask].join(" ");
    }
    case "addrtype":
      return `addrtype --${match.of === "source" ? "src" : "dst"}-type LOCAL`;
    case "statistic": {
      const probability = Math.round(match.probability * CERTAINTY) / CERTAINTY;
      return `statistic --mode random --probability ${probability.toFixed(11)}`;
    }
    case "recent-set":
      return `recent --set ${recentText(match.name, family)}`;
    case "recent-check":
      return `recent --rcheck --seconds ${match.seconds} --reap ${recentText(match.name, family)}`;
    case "nfacct":
      // iptables prints two spaces.
      return `nfacct --nfacct-name  ${match.name}`;
  }
}

/** The states in the order in which iptables prints them. */
const conntrackStates: readonly ConntrackState[] = ["INVALID", "NEW", "RELATED", "ESTABLISHED", "DNAT"];

function recentText(name: string, family: "IPv4" | "IPv6"): string {
  const wholeAddress = family === "IPv4" ? "255.255.255.255" : "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
  return `--name ${name} --mask ${wholeAddress} --rsource`;
}

/** Quotes a text for a shell. Words of letters, digits, `_` and `-` need no quotes. */
function quoted(text: string): string {
  return /^[\w-]+$/.test(text) ? text : `"${text.replaceAll(/["'\\]/g, "\\$&")}"`;
}

function targetText(target: Target, family: "IPv4" | "IPv6"): string {
  switch (target.target) {
    case "jump":
      return target.chain;
    case "REJECT":
      return `REJECT --reject-with icmp${family === "IPv4" ? "" : "6"}-port-unreachable`;
    case "MARK":
      return `MARK --set-xmark ${hex(target.value)}/${hex(target.mask)}`;
    case "MASQUERADE":
      return "MASQUERADE --random-fully";
    case "DNAT":
      return `DNAT --to-destination ${formatSocketAddress(target.address, target.port)}`;
    default:
      return target.target;
  }
}

function hex(value: number): string {
  return `0x${(value >>> 0).toString(16)}`;
}
