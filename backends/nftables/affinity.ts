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
 * Session affinity: service ports that have it get chains of their own, as upstream makes them. Each endpoint has a
 * set of the clients it was chosen for, which its rule fills and the kernel empties. All frontends of the service
 * port share the sets.
 */
export interface AffinityObjects {
  readonly sets: readonly SetSpec[];
  /** Chains come before those that go to them. */
  readonly chains: readonly Chain[];
}

const none: AffinityObjects = { sets: [], chains: [] };

export function affinityObjects(
  family: TableFamily,
  settings: NodeSettings,
  plan: ServicePortPlan,
): AffinityObjects {
  if (plan.affinitySeconds === 0) return none;
  const used = usedLists(plan);
  const endpoints = new Map<string, Endpoint>();
  if (used.cluster) {
    for (const endpoint of plan.clusterEndpoints) endpoints.set(identity(endpoint), endpoint);
  }
  if (used.local) {
    for (const endpoint of plan.localEndpoints) endpoints.set(identity(endpoint), endpoint);
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

/** The chain that a frontend of a service port with session affinity goes to. Undefined when it goes nowhere. */
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

/** Which of the plan's endpoint lists a frontend leads to. */
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

function identity({ address, port }: Endpoint): string {
  return address + portBytes(port);
}

/** Remembers the client, then sends it to the endpoint. */
function endpointRules(family: TableFamily, plan: ServicePortPlan, endpoint: Endpoint): Rule[] {
  return [
    rule([expr.source(family).load(0), expr.update(affinitySetName(plan, endpoint))]),
    rule(
      isProtocol(protocolByte(plan.protocol)),
      dnatTo(family, endpoint.address, portBytes(endpoint.port)),
    ),
  ];
}

/** To the endpoint that knows the client, else to any. */
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

/** The same decisions as in the chains of a class, see classes.ts. */
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
