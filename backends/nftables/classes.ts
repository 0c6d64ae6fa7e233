import type { Frontend, Masquerade, NodeSettings, Route, ServicePortPlan } from "../../core/plan/plan.ts";
import type { Expression } from "../nf_tables/expressions.ts";
import type { TableFamily } from "../nf_tables/families.ts";
import {
  addressFields,
  type Chain,
  commented,
  dnatToOneOf,
  fromLocalPod,
  isOfThisNode,
  portFields,
  type Rule,
  rule,
  setMark,
} from "../nf_tables/rules.ts";
import { countConnection } from "../nf_tables/traffic/counting.ts";
import * as sets from "./sets.ts";

/**
 * Returns the class of a frontend. Frontends that are balanced in the same way over the same number of
 * endpoints share the chain of their class. The name of the chain describes the class completely:
 *
 *     cluster-3                  to one of 3 endpoints
 *     local-1                    to the one endpoint on this node
 *     external-3                 like cluster-3, masqueraded
 *     external-nodeport-3        like external-3, for a NodePort
 *     local-external-1-of-3      externalTrafficPolicy Local: 1 endpoint on this node, 3 in the cluster
 *     local-nodeport-1-of-3      like local-external-1-of-3, for a NodePort
 */
export function balancedClass(plan: ServicePortPlan, frontend: Frontend, route: Route): string | undefined {
  const atNodePort = frontend.kind === "NodePort";
  switch (route.verdict) {
    case "balance": {
      const masquerades = route.masquerade === "all";
      const list = route.to === "local" ? "local-" : masquerades ? "" : "cluster-";
      const count = (route.to === "local" ? plan.localEndpoints : plan.clusterEndpoints).length;
      return `${masquerades ? "external-" : ""}${list}${atNodePort ? "nodeport-" : ""}${count}`;
    }
    case "local-external": {
      const { localEndpoints, clusterEndpoints } = plan;
      const kind = atNodePort ? "nodeport" : "external";
      return `local-${kind}-${localEndpoints.length}-of-${clusterEndpoints.length}`;
    }
    case "reject":
    case "drop":
      return undefined;
  }
}

/** The chain of a class. Undefined if no class has this name. */
export function classChain(family: TableFamily, settings: NodeSettings, name: string): Chain | undefined {
  const local = /^local-(external|nodeport)-(\d+)-of-(\d+)$/.exec(name);
  if (local !== null) {
    const [, kind, here, everywhere] = local;
    const pick = (local: boolean, count: string | undefined) =>
      pickRule(family, kind === "nodeport", local, Number(count));
    const toLocal = here === "0" ? undefined : pick(true, here);
    return { name, rules: localRules(family, settings, pick(false, everywhere), toLocal) };
  }
  const balanced = /^(?=\D)(external-)?(cluster-|local-)?(nodeport-)?(\d+)$/.exec(name);
  if (balanced === null) return undefined;
  const [, external, list, nodePort, count] = balanced;
  const pick = pickRule(family, nodePort !== undefined, list === "local-", Number(count));
  return { name, rules: balancingRules(family, settings, external === undefined ? "off-node" : "all", pick) };
}

/** @param pick sends to an endpoint. */
export function balancingRules(
  family: TableFamily,
  settings: NodeSettings,
  masquerade: Masquerade,
  pick: Rule,
): Rule[] {
  const count = countConnection(family, settings);
  if (masquerade === "off-node") return [...count, pick];
  return [...count, commented("masquerade", rule(setMark(settings.masqueradeMark))), pick];
}

/**
 * Rules for externalTrafficPolicy Local (docs/behaviour.md §4.3).
 * @param toCluster sends to an endpoint in the cluster.
 * @param toLocal sends to an endpoint on this node. Without one the chain ends without a verdict, and the
 * filter chains drop the packet (no-endpoint-services).
 */
export function localRules(
  family: TableFamily,
  settings: NodeSettings,
  toCluster: Rule,
  toLocal: Rule | undefined,
): Rule[] {
  const count = countConnection(family, settings);
  if (toLocal === undefined) return shortCircuitRules(family, settings, [...count, toCluster]);
  return [...count, ...shortCircuitRules(family, settings, [toCluster]), toLocal];
}

/** Sends traffic of this node's pods and processes to cluster endpoints, although the policy is Local. */
export function shortCircuitRules(
  family: TableFamily,
  settings: NodeSettings,
  toCluster: readonly Rule[],
): Rule[] {
  const podTraffic = fromLocalPod("==", family, settings.localTraffic);
  const local = isOfThisNode("saddr");
  const circuit = (comment: string, source: readonly Expression[]) =>
    toCluster.map(({ expressions }) => commented(comment, rule(source, expressions)));
  return [
    ...(podTraffic === undefined ? [] : circuit("short-circuit pod traffic", podTraffic)),
    commented("masquerade local traffic", rule(local, setMark(settings.masqueradeMark))),
    ...circuit("short-circuit local traffic", local),
  ];
}

function pickRule(family: TableFamily, atNodePort: boolean, local: boolean, count: number): Rule {
  const list = atNodePort
    ? local ? sets.LOCAL_NODEPORT_ENDPOINTS : sets.NODEPORT_ENDPOINTS
    : local
    ? sets.LOCAL_ENDPOINTS
    : sets.ENDPOINTS;
  return rule(dnatToOneOf(family, atNodePort ? portFields : addressFields(family), count, list));
}
