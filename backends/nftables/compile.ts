import type { Address } from "../../core/net/address.ts";
import type { Protocol } from "../../core/net/protocol.ts";
import {
  type Endpoint,
  type Frontend,
  printedName,
  type Route,
  type ServicePortPlan,
} from "../../core/plan/plan.ts";
import { DROP, type Element } from "../nf_tables/set/element.ts";
import { addressKey, portBytes, portKey, u32le } from "../nf_tables/set/keys.ts";
import { PlanElements } from "../nf_tables/set/plan_elements.ts";
import { CLUSTER_IPS, HAIRPIN_CONNECTIONS } from "../nf_tables/set/shared.ts";
import { truncatedComment } from "../nf_tables/userdata.ts";
import { affinityChain } from "./affinity.ts";
import { REJECT_CHAIN } from "./chains.ts";
import { balancedClass } from "./classes.ts";
import * as sets from "./sets.ts";

/** Sets whose elements several service ports may share: an element is there as long as one of them needs it. */
export const sharedSets: ReadonlySet<string> = new Set([CLUSTER_IPS, HAIRPIN_CONNECTIONS]);

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
  const elements = new PlanElements();
  const comment = truncatedComment(printedName(plan));
  for (const frontend of plan.frontends) {
    const route = frontend.kind === "ClusterIP" ? plan.internal : plan.external;
    const place = placeOf(plan, frontend);
    if (!elements.claim(place.services, place.key)) {
      if (frontend.kind === "LoadBalancerIP") elements.restrict(place.key, plan.sourceRanges);
      continue;
    }
    const chain = plan.affinitySeconds > 0
      ? affinityChain(plan, frontend)
      : balancedClass(plan, frontend, route);
    if (chain !== undefined) elements.push(place.services, place.key, chain, comment);
    const refusal = refusalOf(plan, route);
    if (refusal !== undefined) elements.push(place.refused, place.key, refusal, comment);
    if (plan.affinitySeconds === 0) endpointLists(plan, route, place, elements);
    if (frontend.kind === "ClusterIP") elements.push(CLUSTER_IPS, frontend.address, "", "");
    if (frontend.kind === "LoadBalancerIP") elements.restrict(place.key, plan.sourceRanges);
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
function endpointLists(plan: ServicePortPlan, route: Route, place: Place, elements: PlanElements): void {
  const picksLocal = route.verdict === "local-external" ||
    route.verdict === "balance" && route.to === "local";
  const picksCluster = route.verdict === "local-external" ||
    route.verdict === "balance" && route.to === "cluster";
  if (picksCluster) list(place.endpoints, place.key, plan.clusterEndpoints, elements);
  if (picksLocal) list(place.localEndpoints, place.key, plan.localEndpoints, elements);
}

function list(map: string, key: string, endpoints: readonly Endpoint[], elements: PlanElements): void {
  let slot = 0;
  for (const { address, port } of endpoints) {
    elements.push(map, key + u32le(slot++), endpointValue(address, port), "");
  }
}

/** For each endpoint on this node, a connection of it to itself. */
function hairpins(plan: ServicePortPlan, elements: PlanElements): void {
  for (const endpoints of [plan.clusterEndpoints, plan.localEndpoints]) {
    for (const { address, port, isLocal } of endpoints) {
      if (isLocal) elements.add(HAIRPIN_CONNECTIONS, hairpinKey(address, plan.protocol, port));
    }
  }
}

/** `ip daddr . th dport` of an endpoint */
function endpointValue(address: Address, port: number): string {
  return `${address}${portBytes(port)}\0\0`;
}

/** `ip saddr . ip daddr . meta l4proto . th dport` of a connection of an endpoint to itself */
function hairpinKey(address: Address, protocol: Protocol, port: number): string {
  return address + addressKey(address, protocol, port);
}
