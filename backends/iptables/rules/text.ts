import { formatAddress, formatCidr, formatSocketAddress } from "../../../core/net/address.ts";
import type { Family } from "../../../core/net/protocol.ts";
import type { NodeSettings, ServicePortPlan } from "../../../core/plan/plan.ts";
import { compile, type CompileContext } from "./compile.ts";
import { type IptablesChain, type SharedRule, type TableName, TABLES } from "./layout.ts";
import { nodeRules, type NodeRulesContext } from "./node_rules.ts";
import type { AddressMatch, IptablesRule, Match, Target } from "./rule.ts";

/** Renders all rules of a family for `iptables-restore --noflush` or `ip6tables-restore --noflush`. */
export function restoreText(
  settings: NodeSettings,
  plans: Iterable<ServicePortPlan>,
  context: Omit<CompileContext, "settings"> & NodeRulesContext,
): string {
  const node = nodeRules(settings, context);
  const services: IptablesChain[] = [];
  const shared: SharedRule[] = [];
  for (const plan of plans) {
    const rules = compile(plan, { settings, ...context });
    services.push(...rules.chains);
    shared.push(...rules.shared);
  }
  const sharedChains = node.shared.map(({ table, name, last }): IptablesChain => {
    const own = shared.filter(({ chain }) => chain.table === table && chain.name === name);
    return { table, name, rules: [...own.map(({ rule }) => rule), ...last] };
  });
  const chains = [...node.chains, ...sharedChains, ...node.joint, ...services];
  return TABLES.map((table) => {
    const own = chains.filter((chain) => chain.table === table);
    const jumps = node.jumps.filter((jump) => jump.table === table);
    return tableText(settings.family, table, own, jumps);
  }).join("");
}

function tableText(
  family: Family,
  table: TableName,
  chains: readonly IptablesChain[],
  jumps: readonly { readonly from: string; readonly rule: IptablesRule }[],
): string {
  const lines = [
    `*${table}`,
    ...chains.map(({ name }) => `:${name} - [0:0]`),
    ...jumps.map(({ from, rule }) => `-I ${from} ${ruleText(family, rule)}`),
    ...chains.flatMap(({ name, rules }) => rules.map((rule) => `-A ${name} ${ruleText(family, rule)}`)),
    "COMMIT",
  ];
  return lines.join("\n") + "\n";
}

/** Renders a rule as `iptables-save` does. */
export function ruleText(family: Family, rule: IptablesRule): string {
  const { source, destination, inInterface, protocol, matches, target } = rule;
  return [
    ...(source === undefined ? [] : [addressText("-s", source)]),
    ...(destination === undefined ? [] : [addressText("-d", destination)]),
    ...(inInterface === undefined ? [] : [`${inInterface.inverted ? "! " : ""}-i ${inInterface.name}`]),
    ...(protocol === undefined ? [] : [`-p ${protocol.toLowerCase()}`]),
    ...matches.map((match) => matchText(match, protocol?.toLowerCase() ?? "")),
    ...(target === undefined ? [] : [targetText(family, target)]),
  ].join(" ");
}

function addressText(option: "-s" | "-d", { cidr, inverted }: AddressMatch): string {
  return `${inverted ? "! " : ""}${option} ${formatCidr(cidr)}`;
}

function matchText(match: Match, protocol: string): string {
  switch (match.match) {
    case "comment":
      return `-m comment --comment "${match.text.replaceAll(/["\\]/g, "\\$&")}"`;
    case "dport":
      return `-m ${protocol} --dport ${match.port}`;
    case "protocol":
      return `-m ${protocol}`;
    case "ctstate":
      return `-m conntrack ${match.inverted ? "! " : ""}--ctstate ${match.states.join(",")}`;
    case "mark":
      return `-m mark ${match.inverted ? "! " : ""}--mark ${hex(match.value)}/${hex(match.mask)}`;
    case "addrtype":
      return `-m addrtype --${match.of === "source" ? "src" : "dst"}-type LOCAL`;
    case "statistic":
      return `-m statistic --mode random --probability ${match.probability.toFixed(11)}`;
    case "recent-set":
      return `-m recent --set --name ${match.name}`;
    case "recent-check":
      return `-m recent --rcheck --seconds ${match.seconds} --reap --name ${match.name}`;
    case "nfacct":
      return `-m nfacct --nfacct-name ${match.name}`;
  }
}

function targetText(family: Family, target: Target): string {
  switch (target.target) {
    case "jump":
      return `-j ${target.chain}`;
    case "REJECT":
      return `-j REJECT --reject-with ${family === "IPv4" ? "icmp" : "icmp6"}-port-unreachable`;
    case "MARK":
      return `-j MARK --set-xmark ${hex(target.value)}/${hex(target.mask)}`;
    case "MASQUERADE":
      return "-j MASQUERADE --random-fully";
    case "DNAT": {
      const to = target.port === 0
        ? formatAddress(target.address)
        : formatSocketAddress(target.address, target.port);
      return `-j DNAT --to-destination ${to}`;
    }
    case "ACCEPT":
    case "DROP":
    case "RETURN":
      return `-j ${target.target}`;
  }
}

function hex(value: number): string {
  return `0x${(value >>> 0).toString(16)}`;
}
