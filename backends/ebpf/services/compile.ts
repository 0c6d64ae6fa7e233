import { socketKey } from "../../../core/net/address.ts";
import type { Endpoint, Frontend, Route, ServicePortPlan } from "../../../core/plan/plan.ts";
import { sameEndpoint } from "../../../core/plan/same_plan.ts";
import { sameList } from "../../../core/objects/equality.ts";
import { KIND_NUMBERS } from "../maps/counters.ts";
import { SERVICE, type ServiceEntry, type SlotRange, VERDICT } from "../maps/layout.ts";
import { maglevTable } from "./maglev.ts";
import type { EbpfOptions } from "../options.ts";

/**
 * A plan's endpoints in the order of their slots, and the part of them that each list of the service consists
 * of.
 */
export interface EndpointBlock {
  readonly endpoints: readonly Endpoint[];
  /** Lists are relative to the first of `endpoints`. */
  readonly cluster: SlotRange;
  readonly local: SlotRange;
  readonly serving: SlotRange;
}

/** The place of a service port in the maps. */
export interface Allocation {
  /** Key of its counters, clients and source ranges; unique among service ports, not 0. */
  readonly id: number;
  readonly slots: SlotRange;
  /** Number of the change that gave it its endpoints. */
  readonly generation: number;
  readonly tables: Tables;
}

/** A plan with its allocation. */
export interface PlacedPlan {
  readonly plan: ServicePortPlan;
  readonly allocation: Allocation;
}

/** A plan with its endpoints and their allocation. */
export interface AllocatedPlan extends PlacedPlan {
  readonly block: EndpointBlock;
}

/** Whether the lists are tables. "denied": they are not, because there is no room for the tables that the plan asks for. */
export type Tables = "none" | "granted" | "denied";

export type BalancingOptions = Pick<EbpfOptions, "balancing" | "maglevTableSize">;

/**
 * Arranges a plan's endpoints in a block. The same plan gives the same block.
 */
export function blockOf(plan: ServicePortPlan, options: BalancingOptions, tables: Tables): EndpointBlock {
  const lists = listsOf(plan);
  return tables === "granted" ? tableBlock(lists, options.maglevTableSize) : plainBlock(lists);
}

/** Number of slots that a plan takes without tables. */
export function slotsOfList(plan: ServicePortPlan): number {
  return plainBlock(listsOf(plan)).endpoints.length;
}

/** Reports whether both plans ask for the same block. */
export function sameBlock(a: ServicePortPlan, b: ServicePortPlan, options: BalancingOptions): boolean {
  return asksForTables(a, options) === asksForTables(b, options) &&
    sameList(a.clusterEndpoints, b.clusterEndpoints, sameEndpoint) &&
    sameList(a.localEndpoints, b.localEndpoints, sameEndpoint) &&
    sameList(a.servingEndpoints, b.servingEndpoints, sameEndpoint);
}

/** The entry of map `services` for a frontend. */
export function serviceEntry(
  plan: ServicePortPlan,
  frontend: Frontend,
  block: EndpointBlock,
  { id, slots, generation, tables }: Allocation,
  options: BalancingOptions,
): ServiceEntry {
  const route = frontend.kind === "ClusterIP" ? plan.internal : plan.external;
  const hasRanges = frontend.kind === "LoadBalancerIP" && plan.sourceRanges !== undefined;
  return {
    id,
    verdict: verdictOf(route, block),
    flags: masqueradeOf(route) |
      (hasRanges ? SERVICE.SOURCE_RANGES : 0) |
      (tables === "granted" && isMaglev(plan, options) ? SERVICE.MAGLEV : 0) |
      KIND_NUMBERS[frontend.kind] * SERVICE.KIND,
    affinitySeconds: plan.affinitySeconds,
    cluster: moved(block.cluster, slots.first),
    local: moved(block.local, slots.first),
    serving: moved(block.serving, slots.first),
    generation,
  };
}

/**
 * Endpoints by list. `cluster` and `local` leave out weight 0, because such endpoints get no new connections.
 */
interface Lists {
  readonly cluster: readonly Endpoint[];
  readonly local: readonly Endpoint[];
  readonly serving: readonly Endpoint[];
}

function listsOf({ clusterEndpoints, localEndpoints, servingEndpoints }: ServicePortPlan): Lists {
  return {
    cluster: withWeight(clusterEndpoints),
    local: withWeight(localEndpoints),
    serving: servingEndpoints,
  };
}

function withWeight(endpoints: readonly Endpoint[]): readonly Endpoint[] {
  return endpoints.every(hasWeight) ? endpoints : endpoints.filter(hasWeight);
}

function hasWeight({ weight }: Endpoint): boolean {
  return weight !== 0;
}

function isMaglev(plan: ServicePortPlan, options: BalancingOptions): boolean {
  return (plan.balancing ?? options.balancing) === "maglev" && fitsTable(plan, options);
}

/** Weights are shares of a table, for random balancing as well as for Maglev. */
export function asksForTables(plan: ServicePortPlan, options: BalancingOptions): boolean {
  const { cluster, local } = listsOf(plan);
  return isMaglev(plan, options) || (areUnequal(cluster) || areUnequal(local)) && fitsTable(plan, options);
}

/** A table with fewer slots than endpoints would leave some out. */
function fitsTable(plan: ServicePortPlan, { maglevTableSize }: BalancingOptions): boolean {
  return Math.max(plan.clusterEndpoints.length, plan.localEndpoints.length) <= maglevTableSize;
}

/** Reports whether endpoints differ in weight. */
function areUnequal(endpoints: readonly Endpoint[]): boolean {
  return endpoints.some(({ weight }) => weight !== endpoints[0]?.weight);
}

/**
 * A block with every endpoint once, because the lists overlap. The order is: endpoints of the local list
 * only, of both lists, of the cluster list only, of the serving list only.
 */
function plainBlock({ cluster, local, serving }: Lists): EndpointBlock {
  const isOneList = local.length === 0 &&
    (serving.length === 0 || sameList(serving, cluster, sameEndpoint));
  if (isOneList) {
    const all = { first: 0, count: cluster.length };
    return {
      endpoints: cluster,
      cluster: all,
      local: NO_SLOTS,
      serving: serving.length === 0 ? NO_SLOTS : all,
    };
  }
  const [inCluster, inLocal] = [keysOf(cluster), keysOf(local)];
  const localOnly = local.filter((endpoint) => !inCluster.has(keyOf(endpoint)));
  const both = local.filter((endpoint) => inCluster.has(keyOf(endpoint)));
  const clusterOnly = cluster.filter((endpoint) => !inLocal.has(keyOf(endpoint)));
  const servingOnly = serving.filter((endpoint) => {
    const key = keyOf(endpoint);
    return !inCluster.has(key) && !inLocal.has(key);
  });
  const endpoints = [...localOnly, ...both, ...clusterOnly, ...servingOnly];
  return {
    endpoints,
    cluster: { first: localOnly.length, count: cluster.length },
    local: { first: 0, count: local.length },
    // The serving list includes the others, because an endpoint that gets new flows may keep its old ones.
    serving: serving.length === 0 ? NO_SLOTS : { first: 0, count: endpoints.length },
  };
}

/** A block with the serving endpoints, the table of the cluster list, and the table of the local list. */
function tableBlock(lists: Lists, size: number): EndpointBlock {
  const serving = lists.serving.length === 0 ? [] : plainBlock(lists).endpoints;
  const cluster = maglevTable(lists.cluster, size);
  const local = maglevTable(lists.local, size);
  return {
    endpoints: [...serving, ...cluster, ...local],
    serving: { first: 0, count: serving.length },
    cluster: { first: serving.length, count: cluster.length },
    local: { first: serving.length + cluster.length, count: local.length },
  };
}

function moved({ first, count }: SlotRange, by: number): SlotRange {
  return count === 0 ? NO_SLOTS : { first: first + by, count };
}

const NO_SLOTS: SlotRange = { first: 0, count: 0 };

function verdictOf(route: Route, { cluster, local }: EndpointBlock): number {
  switch (route.verdict) {
    case "balance":
      // The plan has endpoints to balance over. If all of them have weight 0, the list is empty: reject.
      if (route.to === "cluster") return cluster.count > 0 ? VERDICT.BALANCE_CLUSTER : VERDICT.REJECT;
      return local.count > 0 ? VERDICT.BALANCE_LOCAL : VERDICT.REJECT;
    case "local-external":
      return VERDICT.LOCAL_EXTERNAL;
    case "reject":
      return VERDICT.REJECT;
    case "drop":
      return VERDICT.DROP;
  }
}

function masqueradeOf(route: Route): number {
  if (route.verdict !== "balance") return 0;
  return route.masquerade === "all" ? SERVICE.MASQUERADE_ALL : SERVICE.MASQUERADE_OFF_NODE;
}

function keysOf(endpoints: readonly Endpoint[]): ReadonlySet<string> {
  return new Set(endpoints.map(keyOf));
}

function keyOf({ address, port }: Endpoint): string {
  return socketKey(address, port);
}
