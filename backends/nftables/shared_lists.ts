import type { Frontend, NodeSettings, ServicePortPlan } from "../../core/plan/plan.ts";
import { sameFrontends, sameSourceRanges } from "../../core/plan/same_plan.ts";
import type { TableFamily } from "../nf_tables/families.ts";
import { dnatToOneOf, goTo, portFields, type Rule, rule } from "../nf_tables/rules.ts";
import { endpointValue, portKey, u32le } from "../nf_tables/set/keys.ts";
import type { PlanElements } from "../nf_tables/set/plan_elements.ts";
import type { SetSpec } from "../nf_tables/set/spec.ts";
import { verdictWithoutEndpoints } from "../nf_tables/refusal_chains.ts";
import { balancingRules, localRules } from "./classes.ts";
import { listMapName, type ListName, serviceChain } from "./names.ts";
import { type OwnChain, ownChain } from "./own_chains.ts";
import { listMap } from "./sets.ts";

/*
 * A service port with many addresses. If each address had its own element for every endpoint, and named the
 * class in its dispatch element, then a change of one endpoint would take seconds with thousands of ports and
 * dozens of addresses. Instead, the addresses of the service port share one list:
 *
 *     map service-ips                 203.0.113.1 . tcp . 80 : goto external-…/web/tcp/http
 *     chain external-…/web/tcp/http   dnat to meta l4proto . th dport . numgen random mod 3 map @endpoints-…/web/80-95
 *     map endpoints-…/web/80-95       tcp . 80 . 0 : 10.1.0.1 . 8080
 *
 * The elements of the addresses do not depend on the endpoints. The chain is written again when the number of
 * endpoints or the port number changes. A map is for sixteen port numbers: with a map per port, the kernel would
 * search thousands of sets one by one, and with a single map, it would visit all elements for every rule that uses
 * the map, and all rules for every element.
 */

/** A service port with at most so many frontends has an endpoint list for each of them. */
const MAX_LISTED_FRONTENDS = 8;

/** Reports whether the external addresses of a service port share one endpoint list. */
export function hasSharedList({ frontends }: ServicePortPlan): boolean {
  return frontends.length > MAX_LISTED_FRONTENDS;
}

/** Reports whether the frontend is one of those that share a list. A ClusterIP or node port is the only one. */
export function sharesList({ kind }: Frontend): boolean {
  return kind === "ExternalIP" || kind === "LoadBalancerIP";
}

/**
 * Reports whether the elements of the addresses that share a list are the same for both plans of a service
 * port, whatever their endpoints are.
 */
export function haveSameAddressElements(old: ServicePortPlan, next: ServicePortPlan): boolean {
  return hasSharedList(next) && sameFrontends(old, next) && sameSourceRanges(old, next);
}

/** The maps that the service port shares with other ports of its service. */
export function sharedListMaps(family: TableFamily, plan: ServicePortPlan): readonly SetSpec[] {
  return sharedListsOf(plan).map((list) => listMap(family, listMapName(list, plan, servicePortOf(plan))));
}

function sharedListsOf(plan: ServicePortPlan): readonly ListName[] {
  if (!hasSharedList(plan) || plan.affinitySeconds > 0) return [];
  switch (plan.external.verdict) {
    case "balance":
      return [plan.external.to];
    case "local-external":
      return ["cluster", "local"];
    case "reject":
    case "drop":
      return [];
  }
}

/** Adds the endpoints to the maps, with the key of the service port and the slot. */
export function addSharedLists(plan: ServicePortPlan, elements: PlanElements): void {
  const { protocol, clusterEndpoints, localEndpoints } = plan;
  const servicePort = servicePortOf(plan);
  for (const list of sharedListsOf(plan)) {
    const map = listMapName(list, plan, servicePort);
    const key = portKey(protocol, servicePort);
    let slot = 0;
    for (const { address, port } of list === "cluster" ? clusterEndpoints : localEndpoints) {
      elements.push(map, key + u32le(slot++), endpointValue(address, port), "");
    }
  }
}

/**
 * The chains of the addresses that share a list: where new connections go, and what happens to those that
 * went nowhere. They exist without endpoints, too, so that the first and the last endpoint do not change the
 * elements of all addresses.
 */
export function sharedListChains(
  family: TableFamily,
  settings: NodeSettings,
  plan: ServicePortPlan,
): readonly OwnChain[] {
  if (!hasSharedList(plan)) return [];
  const verdict = verdictWithoutEndpoints(plan, plan.external);
  const noEndpoints = ownChain(
    serviceChain("no-endpoints", plan),
    verdict ?? "",
    () => verdict === undefined ? [] : [rule(goTo(verdict))],
  );
  // With session affinity, the other chain is one of affinity.ts.
  if (plan.affinitySeconds > 0) return [noEndpoints];
  const external = ownChain(
    serviceChain("external", plan),
    externalContents(plan),
    () => externalRules(family, settings, plan),
  );
  return [external, noEndpoints];
}

/** The port number is a part because it selects the map of the list: see listMapName. */
function externalContents(plan: ServicePortPlan): string {
  const { external, clusterEndpoints, localEndpoints } = plan;
  const route = external.verdict === "balance" ? `${external.to} ${external.masquerade}` : external.verdict;
  return [route, servicePortOf(plan), clusterEndpoints.length, localEndpoints.length].join(" ");
}

/** Makes the same decisions as the chains of classes: see classes.ts. */
function externalRules(
  family: TableFamily,
  settings: NodeSettings,
  plan: ServicePortPlan,
): readonly Rule[] {
  const { external, clusterEndpoints, localEndpoints } = plan;
  const pick = (list: ListName) => {
    const { length } = list === "cluster" ? clusterEndpoints : localEndpoints;
    const map = listMapName(list, plan, servicePortOf(plan));
    return rule(dnatToOneOf(family, portFields, length, map));
  };
  switch (external.verdict) {
    case "balance":
      return balancingRules(family, settings, external.masquerade, pick(external.to));
    case "local-external":
      return localRules(
        family,
        settings,
        pick("cluster"),
        localEndpoints.length === 0 ? undefined : pick("local"),
      );
    case "reject":
    case "drop":
      return [];
  }
}

/** The port of the addresses, which all of them have in common. */
function servicePortOf({ frontends }: ServicePortPlan): number {
  return frontends.find(sharesList)?.port ?? 0;
}
