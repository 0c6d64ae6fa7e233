import type { Endpoint, Frontend, NodeSettings, Route, ServicePortPlan } from "../../core/plan/plan.ts";
import * as expr from "../nf_tables/expressions.ts";
import type { TableFamily } from "../nf_tables/families.ts";
import { commented, dnatTo, goTo, inSet, isProtocol, type Rule, rule, setMark } from "../nf_tables/rules.ts";
import { countConnection } from "../nf_tables/traffic/counting.ts";
import { portBytes, protocolByte } from "../nf_tables/set/keys.ts";
import { shortCircuitRules } from "./classes.ts";
import { affinitySetName, endpointChain, serviceChain } from "./names.ts";
import { ownChain, type OwnObjects } from "./own_chains.ts";
import { affinitySet } from "./sets.ts";
import { hasSharedList } from "./shared_lists.ts";

/**
 * Objects for session affinity. As in kube-proxy, a service port with affinity has its own chains. Each
 * endpoint has a set of its clients, which a rule fills and the kernel empties. All frontends of the service
 * port share the chains and sets.
 */
export function affinityObjects(
  family: TableFamily,
  settings: NodeSettings,
  plan: ServicePortPlan,
): OwnObjects {
  if (plan.affinitySeconds === 0) return NONE;
  const used = usedLists(plan);
  const endpoints = endpointsOf(plan, used);
  const chains = endpoints.map((endpoint) =>
    ownChain(
      endpointChain(plan, endpoint),
      `${plan.affinitySeconds}`,
      () => endpointRules(family, settings, plan, endpoint),
    )
  );
  const addPick = (name: string, endpoints: readonly Endpoint[]) =>
    chains.push(ownChain(name, pickContents(plan, endpoints), () => pickRules(plan, family, endpoints)));
  if (used.cluster) addPick(serviceChain("service", plan), plan.clusterEndpoints);
  if (used.local) addPick(serviceChain("local", plan), plan.localEndpoints);
  const external = externalChain(plan);
  if (external !== undefined) {
    chains.push(ownChain(external, externalContents(plan), () => externalRules(family, settings, plan)));
  }
  return {
    sets: endpoints.map((endpoint) =>
      affinitySet(family, affinitySetName(plan, endpoint), plan.affinitySeconds)
    ),
    chains,
  };
}

const NONE: OwnObjects = { sets: [], chains: [] };

/** The chain of a frontend of a service port with session affinity. Undefined if it is not dispatched. */
export function affinityChain(plan: ServicePortPlan, frontend: Frontend): string | undefined {
  if (frontend.kind !== "ClusterIP") return externalChain(plan);
  return plan.internal.verdict === "balance" ? serviceChain(listChain(plan.internal.to), plan) : undefined;
}

/** With a shared list the chain exists without endpoints, too: see shared_lists.ts. */
function externalChain(plan: ServicePortPlan): string | undefined {
  const isDispatched = hasExternalFrontend(plan) && (isBalanced(plan.external) || hasSharedList(plan));
  return isDispatched ? serviceChain("external", plan) : undefined;
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

/** The endpoints of both lists without duplicates. */
function endpointsOf(plan: ServicePortPlan, used: ReturnType<typeof usedLists>): readonly Endpoint[] {
  const endpoints = new Map<string, Endpoint>();
  if (used.cluster) {
    for (const endpoint of plan.clusterEndpoints) endpoints.set(endpointId(endpoint), endpoint);
  }
  if (used.local) {
    for (const endpoint of plan.localEndpoints) endpoints.set(endpointId(endpoint), endpoint);
  }
  return [...endpoints.values()];
}

function endpointId({ address, port }: Endpoint): string {
  return address + portBytes(port);
}

/** Adds the client to the set of the endpoint, then sends the connection there. */
function endpointRules(
  family: TableFamily,
  settings: NodeSettings,
  plan: ServicePortPlan,
  endpoint: Endpoint,
): Rule[] {
  return [
    rule([expr.source(family).load(0), expr.update(affinitySetName(plan, endpoint))]),
    ...countConnection(family, settings),
    rule(
      isProtocol(protocolByte(plan.protocol)),
      dnatTo(family, endpoint.address, portBytes(endpoint.port)),
    ),
  ];
}

function pickContents({ affinitySeconds }: ServicePortPlan, endpoints: readonly Endpoint[]): string {
  return [affinitySeconds, ...endpoints.map(endpointId)].join(" ");
}

/** Goes to the endpoint whose set has the client, otherwise to a random one. */
function pickRules(plan: ServicePortPlan, family: TableFamily, endpoints: readonly Endpoint[]): Rule[] {
  const known = endpoints.map((endpoint) =>
    rule(inSet([expr.source(family)], affinitySetName(plan, endpoint)), goTo(endpointChain(plan, endpoint)))
  );
  const any: Rule = {
    ...rule([expr.random(endpoints.length).load(0), expr.verdictOfChoice]),
    choice: endpoints.map((endpoint) => endpointChain(plan, endpoint)),
  };
  return [...known, any];
}

function externalContents({ external, localEndpoints }: ServicePortPlan): string {
  if (external.verdict === "balance") return `${external.to} ${external.masquerade}`;
  return `${external.verdict} ${localEndpoints.length > 0}`;
}

/** Makes the same decisions as the chains of classes: see classes.ts. */
function externalRules(family: TableFamily, settings: NodeSettings, plan: ServicePortPlan): Rule[] {
  switch (plan.external.verdict) {
    case "balance": {
      const mark = commented("masquerade", rule(setMark(settings.masqueradeMark)));
      const marking = plan.external.masquerade === "all" ? [mark] : [];
      return [...marking, rule(goTo(serviceChain(listChain(plan.external.to), plan)))];
    }
    case "local-external":
      return [
        ...shortCircuitRules(family, settings, [rule(goTo(serviceChain("service", plan)))]),
        ...(plan.localEndpoints.length === 0 ? [] : [rule(goTo(serviceChain("local", plan)))]),
      ];
    case "reject":
    case "drop":
      return [];
  }
}
