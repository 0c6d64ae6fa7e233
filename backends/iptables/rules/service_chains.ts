import type { CompileContext } from "./compile.ts";
import type { Chain } from "./layout.ts";
import type { Match, Rule, Target } from "./rule.ts";
import {
  anyPort,
  comment,
  fromThisNode,
  inRange,
  isAddress,
  jump,
  markForMasquerade,
  podTraffic,
} from "./parts.ts";
import { frontendRule, type PortEndpoint, reachableEndpoints, type ServicePort } from "./service_port.ts";

/** The chains that a service port has for itself (docs/behaviour.md §5.1), each after those that it jumps to. */
export function serviceChains(port: ServicePort, context: CompileContext): readonly Chain[] {
  const { chains, clusterEndpoints, localEndpoints } = port;
  const all = endpointChains(port, context);
  const add = (name: string, rules: readonly Rule[]) => all.push({ table: "nat", name, rules });
  if (clusterEndpoints.length > 0) {
    add(chains.cluster, policyRules(port, chains.cluster, clusterEndpoints, context));
  }
  if (localEndpoints.length > 0) add(chains.local, policyRules(port, chains.local, localEndpoints, context));
  if (port.isReachedFromOutside) add(chains.external, externalRules(port, context));
  if (port.isFirewalled) add(chains.firewall, firewallRules(port));
  return all;
}

/** KUBE-SEP: masquerades the endpoint's own connections, remembers the client if it has affinity, and sends it there. */
function endpointChains(port: ServicePort, { isLarge }: CompileContext): Chain[] {
  const { plan: { protocol, affinitySeconds } } = port;
  const comments = isLarge ? [] : [comment(port.name)];
  const always = [...comments, anyPort];
  return reachableEndpoints(port).map(({ endpoint, chain }) => {
    const remembering: Match = { match: "recent-set", name: chain };
    const matches = affinitySeconds > 0 ? [...comments, remembering, anyPort] : always;
    const target: Target = { target: "DNAT", address: endpoint.address, port: endpoint.port };
    const rules = [
      { source: isAddress(endpoint.address), matches: comments, target: markForMasquerade },
      { protocol, matches, target },
    ];
    return { table: "nat", name: chain, rules };
  });
}

/** KUBE-SVC or KUBE-SVL: the choice of an endpoint, the one that the client had lately if it has affinity. */
function policyRules(
  port: ServicePort,
  chain: string,
  endpoints: readonly PortEndpoint[],
  context: CompileContext,
): readonly Rule[] {
  const { affinitySeconds } = port.plan;
  const rules: Rule[] = chain === port.internalChain ? clusterIPMasquerades(port, context) : [];
  if (affinitySeconds > 0) {
    for (const endpoint of endpoints) {
      const recently: Match = { match: "recent-check", name: endpoint.chain, seconds: affinitySeconds };
      rules.push(choice(port, endpoint, recently, context));
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
): Rule {
  const matches: Match[] = isLarge ? [] : [comment(`${name} -> ${socket}`)];
  if (condition !== undefined) matches.push(condition);
  return { matches, target: jump };
}

/** Matches with a chance of 1 in `count`, as upstream rounds it; undefined for always. */
function oneOf(count: number): Match | undefined {
  if (count === 1) return undefined;
  return chances[count] ??= { match: "statistic", probability: Number((1 / count).toFixed(10)) };
}

/** By the number of candidates. */
const chances: Match[] = [];

/** Connections to the ClusterIP from outside the cluster, or from anywhere. */
function clusterIPMasquerades(port: ServicePort, { settings }: CompileContext): Rule[] {
  const clusterIP = port.plan.frontends.find(({ kind }) => kind === "ClusterIP");
  const sources = settings.masqueradeAll ? {} : podTraffic(settings.localTraffic, true);
  if (clusterIP === undefined || clusterIP.kind === "NodePort" || sources === undefined) return [];
  const rule = frontendRule(port, clusterIP, `${port.name} cluster IP`, markForMasquerade);
  return [{ ...rule, ...sources }];
}

/** KUBE-EXT: who came from outside keeps its address if the policy is Local, and others are not bound to that policy. */
function externalRules({ name, plan, chains }: ServicePort, { settings }: CompileContext): readonly Rule[] {
  const { external } = plan;
  if (external.verdict === "balance") {
    const text = `masquerade traffic for ${name} external destinations`;
    return [
      { matches: [comment(text)], target: markForMasquerade },
      { matches: [], target: jump(chains[external.to]) },
    ];
  }
  const toCluster = jump(chains.cluster);
  const rules: Rule[] = [];
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

/** KUBE-FW: the sources that are let in. Others come back, and KUBE-PROXY-FIREWALL drops what has no endpoint. */
function firewallRules({ name, plan, chains }: ServicePort): readonly Rule[] {
  const matches = [comment(`${name} loadbalancer IP`)];
  const target = jump(chains.external);
  const rules: Rule[] = (plan.sourceRanges ?? []).map((cidr) => ({ source: inRange(cidr), matches, target }));
  rules.push({ matches: [comment(`other traffic to ${name} will be dropped by KUBE-PROXY-FIREWALL`)] });
  return rules;
}
