import type { Endpoint, Frontend, Route, ServicePortPlan } from "../../core/plan/plan.ts";
import { printedName } from "../../core/plan/plan_key.ts";
import { affinityChain } from "./affinity.ts";
import { REJECT_CHAIN } from "./chains.ts";
import { balancedClass } from "./classes.ts";
import { DROP, type Element } from "../nf_tables/elements.ts";
import { addressKey, lastAddress, portKey } from "../nf_tables/keys.ts";
import { truncatedComment } from "../nf_tables/userdata.ts";
import { endpointValue, hairpinKey, slotKey } from "./keys.ts";
import * as sets from "./sets.ts";

/** Sets whose elements several service ports may share: an element is there as long as one of them needs it. */
export const sharedSets: ReadonlySet<string> = new Set([sets.CLUSTER_IPS, sets.HAIRPIN_CONNECTIONS]);

/** Maps that hold endpoints by frontend and slot. */
export const listSets: ReadonlySet<string> = new Set([
  sets.ENDPOINTS,
  sets.LOCAL_ENDPOINTS,
  sets.NODEPORT_ENDPOINTS,
  sets.LOCAL_NODEPORT_ENDPOINTS,
]);

/**
 * What makes one service port reachable: the same plan gives the same elements, so that an update is the difference
 * of two calls. A key appears once, whatever the plan repeats.
 */
export function elementsOf(plan: ServicePortPlan): readonly Element[] {
  const elements = new Elements();
  const comment = truncatedComment(printedName(plan));
  for (const frontend of plan.frontends) {
    const route = frontend.kind === "ClusterIP" ? plan.internal : plan.external;
    const place = placeOf(plan, frontend);
    if (!elements.claim(place.services, place.key)) {
      if (frontend.kind === "LoadBalancerIP") sourceRanges(plan, place.key, elements);
      continue;
    }
    const chain = plan.affinitySeconds > 0
      ? affinityChain(plan, frontend)
      : balancedClass(plan, frontend, route);
    if (chain !== undefined) elements.add(place.services, place.key, chain, comment);
    const refusal = refusalOf(plan, route);
    if (refusal !== undefined) elements.add(place.refused, place.key, refusal, comment);
    if (plan.affinitySeconds === 0) endpointLists(plan, route, place, elements);
    if (frontend.kind === "ClusterIP") elements.add(sets.CLUSTER_IPS, frontend.address, "", "");
    if (frontend.kind === "LoadBalancerIP") sourceRanges(plan, place.key, elements);
  }
  hairpins(plan, elements);
  return elements.list;
}

/** Where a frontend of this kind is looked up, and by what. */
interface Place {
  readonly key: string;
  readonly services: string;
  readonly refused: string;
  readonly endpoints: string;
  readonly localEndpoints: string;
}

function placeOf(plan: ServicePortPlan, frontend: Frontend): Place {
  if (frontend.kind === "NodePort") {
    return {
      key: portKey(plan.protocol, frontend.port),
      services: sets.SERVICE_NODEPORTS,
      refused: sets.NO_ENDPOINT_NODEPORTS,
      endpoints: sets.NODEPORT_ENDPOINTS,
      localEndpoints: sets.LOCAL_NODEPORT_ENDPOINTS,
    };
  }
  return {
    key: addressKey(frontend.address, plan.protocol, frontend.port),
    services: sets.SERVICE_IPS,
    refused: sets.NO_ENDPOINT_SERVICES,
    endpoints: sets.ENDPOINTS,
    localEndpoints: sets.LOCAL_ENDPOINTS,
  };
}

/** What the filter chains do with a connection that was not sent to an endpoint. */
function refusalOf(plan: ServicePortPlan, route: Route): string | undefined {
  switch (route.verdict) {
    case "balance":
      return undefined;
    case "local-external":
      return plan.localEndpoints.length === 0 ? DROP : undefined;
    case "reject":
      return REJECT_CHAIN;
    case "drop":
      return DROP;
  }
}

/** The lists that the chain of the frontend's class picks from. */
function endpointLists(plan: ServicePortPlan, route: Route, place: Place, elements: Elements): void {
  const picksLocal = route.verdict === "local-external" ||
    route.verdict === "balance" && route.to === "local";
  const picksCluster = route.verdict === "local-external" ||
    route.verdict === "balance" && route.to === "cluster";
  if (picksCluster) list(place.endpoints, place.key, plan.clusterEndpoints, elements);
  if (picksLocal) list(place.localEndpoints, place.key, plan.localEndpoints, elements);
}

function list(map: string, key: string, endpoints: readonly Endpoint[], elements: Elements): void {
  let slot = 0;
  for (const { address, port } of endpoints) {
    elements.add(map, key + slotKey(slot++), endpointValue(address, port), "");
  }
}

/** The ranges are disjoint, as an interval set demands (ServicePortPlan.sourceRanges). */
function sourceRanges(plan: ServicePortPlan, key: string, elements: Elements): void {
  if (plan.sourceRanges === undefined || !elements.claim(sets.FIREWALL_SERVICES, key)) return;
  elements.add(sets.FIREWALL_SERVICES, key, "", "");
  for (const cidr of plan.sourceRanges) {
    elements.add(sets.FIREWALL_ALLOWED, key + cidr.address, key + lastAddress(cidr), "");
  }
}

/** For each endpoint on this node, a connection of it to itself. */
function hairpins(plan: ServicePortPlan, elements: Elements): void {
  for (const endpoints of [plan.clusterEndpoints, plan.localEndpoints]) {
    for (const { address, port, isLocal } of endpoints) {
      if (!isLocal) continue;
      const key = hairpinKey(address, plan.protocol, port);
      if (elements.claim(sets.HAIRPIN_CONNECTIONS, key)) elements.add(sets.HAIRPIN_CONNECTIONS, key, "", "");
    }
  }
}

/** Elements of one plan, without repetition of what may repeat in a plan: addresses and local endpoints. */
class Elements {
  readonly list: Element[] = [];
  readonly #claimed = new Set<string>();

  add(set: string, key: string, value: string, comment: string): void {
    this.list.push({ set, key, value, comment });
  }

  /** False when the plan has this key of the set already. */
  claim(set: string, key: string): boolean {
    const id = set + key;
    if (this.#claimed.has(id)) return false;
    this.#claimed.add(id);
    return true;
  }
}
