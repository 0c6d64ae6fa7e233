import type { Address, Cidr } from "../../core/net/address.ts";
import type { Protocol } from "../../core/net/protocol.ts";
import {
  type Endpoint,
  type Frontend,
  mayReachItselfHere,
  printedName,
  type Route,
  type ServicePortPlan,
} from "../../core/plan/plan.ts";
import type { Element } from "../nf_tables/set/element.ts";
import { addressKey, endpointValue, portKey, u32le } from "../nf_tables/set/keys.ts";
import { verdictWithoutEndpoints } from "../nf_tables/refusal_chains.ts";
import { PlanElements } from "../nf_tables/set/plan_elements.ts";
import { CLUSTER_IPS, HAIRPIN_CONNECTIONS, SERVICE_CIDR_ENDPOINTS } from "../nf_tables/set/shared.ts";
import { truncatedComment } from "../nf_tables/userdata.ts";
import { affinityChain } from "./affinity.ts";
import { balancedClass } from "./classes.ts";
import { serviceChain } from "./names.ts";
import * as sets from "./sets.ts";
import { addSharedLists, hasSharedList, sharesList } from "./shared_lists.ts";

/** Sets whose elements several service ports may share. An element exists while any of them uses it. */
export const SHARED_SETS: ReadonlySet<string> = new Set([
  CLUSTER_IPS,
  HAIRPIN_CONNECTIONS,
  SERVICE_CIDR_ENDPOINTS,
]);

/** Maps with endpoints by frontend and slot. */
export const ENDPOINT_MAPS: ReadonlySet<string> = new Set([
  sets.ENDPOINTS,
  sets.LOCAL_ENDPOINTS,
  sets.NODEPORT_ENDPOINTS,
  sets.LOCAL_NODEPORT_ENDPOINTS,
]);

/** Parts of a service port whose elements an update can leave out. */
export interface Parts {
  /** The addresses that share an endpoint list. */
  readonly sharingAddresses: boolean;
}

/**
 * The elements of one service port. Equal plans have equal elements, so that an update is the difference of
 * two calls. A key appears once, even if the plan repeats it.
 * @param serviceCidrs the known ranges of service addresses.
 */
export function elementsOf(
  plan: ServicePortPlan,
  serviceCidrs: readonly Cidr[],
  { sharingAddresses }: Parts = { sharingAddresses: true },
): readonly Element[] {
  const elements = new PlanElements();
  const comment = truncatedComment(printedName(plan));
  const isShared = hasSharedList(plan);
  for (const frontend of plan.frontends) {
    const shares = isShared && sharesList(frontend);
    if (shares && !sharingAddresses) continue;
    const route = frontend.kind === "ClusterIP" ? plan.internal : plan.external;
    const lookup = lookupOf(plan, frontend);
    const { key } = lookup;
    if (!elements.claim(lookup.services, key)) {
      if (frontend.kind === "LoadBalancerIP") elements.restrict(key, plan.sourceRanges);
      continue;
    }
    const chain = shares
      ? serviceChain("external", plan)
      : plan.affinitySeconds > 0
      ? affinityChain(plan, frontend)
      : balancedClass(plan, frontend, route);
    if (chain !== undefined) elements.push(lookup.services, key, chain, comment);
    const verdict = shares ? serviceChain("no-endpoints", plan) : verdictWithoutEndpoints(plan, route);
    if (verdict !== undefined) elements.push(lookup.noEndpoint, key, verdict, comment);
    if (plan.affinitySeconds === 0 && !shares) addEndpoints(plan, route, lookup, elements);
    if (frontend.kind === "ClusterIP") elements.push(CLUSTER_IPS, frontend.address, "", "");
    if (frontend.kind === "LoadBalancerIP") elements.restrict(key, plan.sourceRanges);
  }
  addSharedLists(plan, elements);
  addHairpins(plan, elements);
  elements.addEndpointsIn(serviceCidrs, plan);
  return elements.list;
}

/** The key of a frontend, and the sets and maps with that key. */
interface Lookup {
  readonly key: string;
  readonly services: string;
  readonly noEndpoint: string;
  readonly endpoints: string;
  readonly localEndpoints: string;
}

function lookupOf(plan: ServicePortPlan, frontend: Frontend): Lookup {
  if (frontend.kind === "NodePort") {
    return {
      key: portKey(plan.protocol, frontend.port),
      services: sets.SERVICE_NODEPORTS,
      noEndpoint: sets.NO_ENDPOINT_NODEPORTS,
      endpoints: sets.NODEPORT_ENDPOINTS,
      localEndpoints: sets.LOCAL_NODEPORT_ENDPOINTS,
    };
  }
  return {
    key: addressKey(frontend.address, plan.protocol, frontend.port),
    services: sets.SERVICE_IPS,
    noEndpoint: sets.NO_ENDPOINT_SERVICES,
    endpoints: sets.ENDPOINTS,
    localEndpoints: sets.LOCAL_ENDPOINTS,
  };
}

/** Adds the endpoint lists that the chain of the frontend's class picks from. */
function addEndpoints(plan: ServicePortPlan, route: Route, lookup: Lookup, elements: PlanElements): void {
  const picksLocal = route.verdict === "local-external" ||
    route.verdict === "balance" && route.to === "local";
  const picksCluster = route.verdict === "local-external" ||
    route.verdict === "balance" && route.to === "cluster";
  if (picksCluster) addList(lookup.endpoints, lookup.key, plan.clusterEndpoints, elements);
  if (picksLocal) addList(lookup.localEndpoints, lookup.key, plan.localEndpoints, elements);
}

function addList(map: string, key: string, endpoints: readonly Endpoint[], elements: PlanElements): void {
  let slot = 0;
  for (const { address, port } of endpoints) {
    elements.push(map, key + u32le(slot++), endpointValue(address, port), "");
  }
}

/** Adds the connections to itself of each endpoint that runs, or may run, on this node. */
function addHairpins(plan: ServicePortPlan, elements: PlanElements): void {
  for (const endpoints of [plan.clusterEndpoints, plan.localEndpoints]) {
    for (const endpoint of endpoints) {
      if (!mayReachItselfHere(endpoint)) continue;
      elements.add(HAIRPIN_CONNECTIONS, hairpinKey(endpoint.address, plan.protocol, endpoint.port));
    }
  }
}

/** `ip saddr . ip daddr . meta l4proto . th dport` of a connection of an endpoint to itself */
function hairpinKey(address: Address, protocol: Protocol, port: number): string {
  return address + addressKey(address, protocol, port);
}
