import type { LocalTraffic } from "../../../core/plan/plan.ts";
import type { CompileContext } from "./compile.ts";
import type { IptablesChain } from "./layout.ts";
import { KUBE_MARK_MASQ } from "./names.ts";
import {
  anyPort,
  comment,
  fromThisNode,
  inRange,
  type IptablesRule,
  isAddress,
  jump,
  type Match,
  type Target,
} from "./rule.ts";
import { frontendRule, type PortEndpoint, reachableEndpoints, type ServicePort } from "./service_port.ts";

const markForMasquerade: Target = jump(KUBE_MARK_MASQ);

/**
 * Chains of one service port only (docs/behaviour.md §5.1). A chain comes after the chains that it jumps to.
 */
export function serviceChains(port: ServicePort, context: CompileContext): readonly IptablesChain[] {
  const { chains, clusterEndpoints, localEndpoints } = port;
  const all = endpointChains(port, context);
  const add = (name: string, rules: readonly IptablesRule[]) => all.push({ table: "nat", name, rules });
  if (clusterEndpoints.length > 0) {
    add(chains.cluster, policyRules(port, chains.cluster, clusterEndpoints, context));
  }
  if (localEndpoints.length > 0) add(chains.local, policyRules(port, chains.local, localEndpoints, context));
  if (port.isReachedFromOutside) add(chains.external, externalRules(port, context));
  if (port.isFirewalled) add(chains.firewall, firewallRules(port));
  return all;
}

/**
 * KUBE-SEP: masquerades the endpoint's own connections, remembers the client for affinity, translates to the
 * endpoint.
 */
function endpointChains(port: ServicePort, { isLarge }: CompileContext): IptablesChain[] {
  const { plan: { protocol, affinitySeconds } } = port;
  const comments = isLarge ? [] : [comment(port.name)];
  const withoutAffinity = [...comments, anyPort];
  return reachableEndpoints(port).map(({ endpoint, chain }) => {
    const remembering: Match = { match: "recent-set", name: chain };
    const matches = affinitySeconds > 0 ? [...comments, remembering, anyPort] : withoutAffinity;
    const target: Target = { target: "DNAT", address: endpoint.address, port: endpoint.port };
    const rules = [
      { source: isAddress(endpoint.address), matches: comments, target: markForMasquerade },
      { protocol, matches, target },
    ];
    return { table: "nat", name: chain, rules };
  });
}

/** KUBE-SVC or KUBE-SVL: selects an endpoint, with affinity the one that the client used recently. */
function policyRules(
  port: ServicePort,
  chain: string,
  endpoints: readonly PortEndpoint[],
  context: CompileContext,
): readonly IptablesRule[] {
  const { affinitySeconds } = port.plan;
  const rules: IptablesRule[] = chain === port.internalChain ? clusterIPMasquerades(port, context) : [];
  if (affinitySeconds > 0) {
    for (const endpoint of endpoints) {
      const usedRecently: Match = { match: "recent-check", name: endpoint.chain, seconds: affinitySeconds };
      rules.push(choice(port, endpoint, usedRecently, context));
    }
  }
  let candidates = endpoints.length;
  for (const endpoint of endpoints) rules.push(choice(port, endpoint, oneOf(candidates--), context));
  return rules;
}

function choice(
  { name }: ServicePort,
  { socket, jump }: PortEndpoint,
  condition: Match | undefined,
  { isLarge }: CompileContext,
): IptablesRule {
  const matches: Match[] = isLarge ? [] : [comment(`${name} -> ${socket}`)];
  if (condition !== undefined) matches.push(condition);
  return { matches, target: jump };
}

/** Matches with probability 1 / `count`, rounded as kube-proxy does; undefined if it would always match. */
function oneOf(count: number): Match | undefined {
  if (count === 1) return undefined;
  return oneOfMatches[count] ??= { match: "statistic", probability: Number((1 / count).toFixed(10)) };
}

/** Matches of `oneOf`, indexed by count. */
const oneOfMatches: Match[] = [];

/**
 * Masquerades connections to the ClusterIP from outside the cluster, or from everywhere with masqueradeAll.
 */
function clusterIPMasquerades(port: ServicePort, { settings }: CompileContext): IptablesRule[] {
  const clusterIP = port.plan.frontends.find(({ kind }) => kind === "ClusterIP");
  const sources = settings.masqueradeAll ? {} : podTraffic(settings.localTraffic, true);
  if (clusterIP === undefined || clusterIP.kind === "NodePort" || sources === undefined) return [];
  const rule = frontendRule(port, clusterIP, `${port.name} cluster IP`, markForMasquerade);
  return [{ ...rule, ...sources }];
}

/**
 * KUBE-EXT: with externalTrafficPolicy Local, clients outside keep their address, and clients on this node
 * reach all endpoints of the cluster.
 */
function externalRules(
  { name, plan, chains }: ServicePort,
  { settings }: CompileContext,
): readonly IptablesRule[] {
  const { external } = plan;
  if (external.verdict === "balance") {
    const text = `masquerade traffic for ${name} external destinations`;
    return [
      { matches: [comment(text)], target: markForMasquerade },
      { matches: [], target: jump(chains[external.to]) },
    ];
  }
  const toCluster = jump(chains.cluster);
  const rules: IptablesRule[] = [];
  const pods = podTraffic(settings.localTraffic, false);
  if (pods !== undefined) {
    const text = `pod traffic for ${name} external destinations`;
    rules.push({ ...pods, matches: [comment(text)], target: toCluster });
  }
  const masquerade = comment(`masquerade LOCAL traffic for ${name} external destinations`);
  const route = comment(`route LOCAL traffic for ${name} external destinations`);
  rules.push({ matches: [masquerade, fromThisNode], target: markForMasquerade });
  rules.push({ matches: [route, fromThisNode], target: toCluster });
  if (plan.localEndpoints.length > 0) rules.push({ matches: [], target: jump(chains.local) });
  return rules;
}

/** KUBE-FW: allowed sources jump to KUBE-EXT. Other packets return, and KUBE-PROXY-FIREWALL drops them. */
function firewallRules({ name, plan, chains }: ServicePort): readonly IptablesRule[] {
  const matches = [comment(`${name} loadbalancer IP`)];
  const target = jump(chains.external);
  const rules: IptablesRule[] = (plan.sourceRanges ?? []).map((cidr) => ({
    source: inRange(cidr),
    matches,
    target,
  }));
  rules.push({ matches: [comment(`other traffic to ${name} will be dropped by KUBE-PROXY-FIREWALL`)] });
  return rules;
}

/** Matches traffic of this node's pods, or all other traffic; undefined if the two cannot be told apart. */
function podTraffic(
  localTraffic: LocalTraffic,
  inverted: boolean,
): Pick<IptablesRule, "source"> | Pick<IptablesRule, "inInterface"> | undefined {
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
