import type { Endpoint, Frontend, NodeSettings, Route, ServicePortPlan } from "../../core/plan/plan.ts";
import * as expr from "../nf_tables/expressions.ts";
import type { TableFamily } from "../nf_tables/families.ts";
import {
  type Chain,
  commented,
  dnatTo,
  goTo,
  inSet,
  isProtocol,
  type Rule,
  rule,
  setMark,
} from "../nf_tables/rules.ts";
import { portBytes, protocolByte } from "../nf_tables/set/keys.ts";
import type { SetSpec } from "../nf_tables/set/spec.ts";
import { shortCircuitRules } from "./classes.ts";
import { affinitySetName, endpointChain, serviceChain } from "./names.ts";
import { affinitySet } from "./sets.ts";

/**
 * Objects for session affinity. As in kube-proxy, a service port with affinity has its own chains. Each
 * endpoint has a set of its clients, which a rule fills and the kernel empties. All frontends of the service
 * port share the sets.
 */
export interface AffinityObjects {
  readonly sets: readonly SetSpec[];
  /** Each comes before the chains that go to it. */
  readonly chains: readonly Chain[];
}

const NONE: AffinityObjects = { sets: [], chains: [] };

export function affinityObjects(
  family: TableFamily,
  settings: NodeSettings,
  plan: ServicePortPlan,
): AffinityObjects {
  if (plan.affinitySeconds === 0) return NONE;
  const used = usedLists(plan);
  const endpoints = new Map<string, Endpoint>();
  if (used.cluster) {
    for (const endpoint of plan.clusterEndpoints) endpoints.set(endpointId(endpoint), endpoint);
  }
  if (used.local) {
    for (const endpoint of plan.localEndpoints) endpoints.set(endpointId(endpoint), endpoint);
  }

  const chains: Chain[] = [];
  for (const endpoint of endpoints.values()) {
    chains.push({ name: endpointChain(plan, endpoint), rules: endpointRules(family, plan, endpoint) });
  }
  if (used.cluster) {
    chains.push({
      name: serviceChain("service", plan),
      rules: pickRules(family, plan, plan.clusterEndpoints),
    });
  }
  if (used.local) {
    chains.push({ name: serviceChain("local", plan), rules: pickRules(family, plan, plan.localEndpoints) });
  }
  if (hasExternalFrontend(plan) && isBalanced(plan.external)) {
    chains.push({ name: serviceChain("external", plan), rules: externalRules(family, settings, plan) });
  }
  return {
    sets: [...endpoints.values()].map((endpoint) =>
      affinitySet(family, affinitySetName(plan, endpoint), plan.affinitySeconds)
    ),
    chains,
  };
}

/** The chain of a frontend of a service port with session affinity. Undefined if it is not balanced. */
export function affinityChain(plan: ServicePortPlan, frontend: Frontend): string | undefined {
  if (frontend.kind !== "ClusterIP") {
    return isBalanced(plan.external) ? serviceChain("external", plan) : undefined;
  }
  return plan.internal.verdict === "balance" ? serviceChain(listChain(plan.internal.to), plan) : undefined;
}

function listChain(list: "cluster" | "local"): "service" | "local" {
  return list === "cluster" ? "service" : "local";
}

function isBalanced(route: Route): boolean {
  return route.verdict === "balance" || route.verdict === "local-external";
}

function hasExternalFrontend(plan: ServicePortPlan): boolean {
  return plan.frontends.some((frontend) => frontend.kind !== "ClusterIP");
}

/** The endpoint lists of the plan that a frontend uses. */
function usedLists(plan: ServicePortPlan): { cluster: boolean; local: boolean } {
  const routes: Route[] = [];
  if (plan.frontends.some((frontend) => frontend.kind === "ClusterIP")) routes.push(plan.internal);
  if (hasExternalFrontend(plan)) routes.push(plan.external);
  const used = { cluster: false, local: false };
  for (const route of routes) {
    if (route.verdict === "balance") used[route.to] = true;
    if (route.verdict === "local-external") {
      used.cluster = true;
      used.local ||= plan.localEndpoints.length > 0;
    }
  }
  return used;
}

function endpointId({ address, port }: Endpoint): string {
  return address + portBytes(port);
}

/** Adds the client to the set of the endpoint, then sends the connection there. */
function endpointRules(family: TableFamily, plan: ServicePortPlan, endpoint: Endpoint): Rule[] {
  return [
    rule([expr.source(family).load(0), expr.update(affinitySetName(plan, endpoint))]),
    rule(
      isProtocol(protocolByte(plan.protocol)),
      dnatTo(family, endpoint.address, portBytes(endpoint.port)),
    ),
  ];
}

/** Goes to the endpoint whose set has the client, otherwise to a random one. */
function pickRules(family: TableFamily, plan: ServicePortPlan, endpoints: readonly Endpoint[]): Rule[] {
  const known = endpoints.map((endpoint) =>
    rule(inSet([expr.source(family)], affinitySetName(plan, endpoint)), goTo(endpointChain(plan, endpoint)))
  );
  const any: Rule = {
    ...rule([expr.random(endpoints.length).load(0), expr.verdictOfChoice]),
    choice: endpoints.map((endpoint) => endpointChain(plan, endpoint)),
  };
  return [...known, any];
}

/** Makes the same decisions as the chains of classes: see classes.ts. */
function externalRules(family: TableFamily, settings: NodeSettings, plan: ServicePortPlan): Rule[] {
  if (plan.external.verdict === "balance") {
    const mark = commented("masquerade", rule(setMark(settings.masqueradeMark)));
    const marking = plan.external.masquerade === "all" ? [mark] : [];
    return [...marking, rule(goTo(serviceChain(listChain(plan.external.to), plan)))];
  }
  return [
    ...shortCircuitRules(family, settings, goTo(serviceChain("service", plan))),
    ...(plan.localEndpoints.length === 0 ? [] : [rule(goTo(serviceChain("local", plan)))]),
  ];
}
