import { socketKey } from "../../../core/net/address.ts";
import type { Endpoint, Frontend, Route, ServicePortPlan } from "../../../core/plan/plan.ts";
import { sameEndpoint } from "../../../core/plan/same_plan.ts";
import { sameList } from "../../../core/objects/equality.ts";
import { SERVICE, type ServiceEntry, type SlotRange, VERDICT } from "../maps/layout.ts";
import { maglevTable } from "./maglev.ts";
import type { EbpfOptions } from "../options.ts";

/** The endpoints of a plan as they lie in slots, and which of them make each list. */
export interface EndpointRun {
  readonly endpoints: readonly Endpoint[];
  /** From the first of `endpoints`. */
  readonly cluster: SlotRange;
  readonly local: SlotRange;
  readonly serving: SlotRange;
}

export type ListOptions = Pick<EbpfOptions, "balancing" | "maglevTableSize">;

/** Lays out a plan's endpoints. The same plan makes the same run. */
export function runOf(plan: ServicePortPlan, options: ListOptions): EndpointRun {
  const lists = listsOf(plan);
  return hasTables(plan, options) ? tablesRun(lists, options.maglevTableSize) : plainRun(lists);
}

/** Whether both plans have the same run. */
export function sameRun(a: ServicePortPlan, b: ServicePortPlan, options: ListOptions): boolean {
  return hasTables(a, options) === hasTables(b, options) &&
    sameList(a.clusterEndpoints, b.clusterEndpoints, sameEndpoint) &&
    sameList(a.localEndpoints, b.localEndpoints, sameEndpoint) &&
    sameList(a.servingEndpoints, b.servingEndpoints, sameEndpoint);
}

/**
 * What `services` says of a frontend.
 * @param place of the plan's endpoints: where its run begins, and of which change of it that is.
 */
export function serviceEntry(
  plan: ServicePortPlan,
  frontend: Frontend,
  run: EndpointRun,
  place: { readonly id: number; readonly first: number; readonly generation: number },
  options: ListOptions,
): ServiceEntry {
  const route = frontend.kind === "ClusterIP" ? plan.internal : plan.external;
  const hasRanges = frontend.kind === "LoadBalancerIP" && plan.sourceRanges !== undefined;
  return {
    id: place.id,
    verdict: verdictOf(route, run),
    flags: masqueradeOf(route) |
      (hasRanges ? SERVICE.SOURCE_RANGES : 0) |
      (isMaglev(plan, options) ? SERVICE.MAGLEV : 0),
    affinitySeconds: plan.affinitySeconds,
    cluster: moved(run.cluster, place.first),
    local: moved(run.local, place.first),
    serving: moved(run.serving, place.first),
    generation: place.generation,
  };
}

/** The endpoints of each list: those of weight 0 get no new connections. */
interface Lists {
  readonly cluster: readonly Endpoint[];
  readonly local: readonly Endpoint[];
  readonly serving: readonly Endpoint[];
}

function listsOf({ clusterEndpoints, localEndpoints, servingEndpoints }: ServicePortPlan): Lists {
  return { cluster: weighed(clusterEndpoints), local: weighed(localEndpoints), serving: servingEndpoints };
}

function weighed(endpoints: readonly Endpoint[]): readonly Endpoint[] {
  return endpoints.every(hasWeight) ? endpoints : endpoints.filter(hasWeight);
}

function hasWeight({ weight }: Endpoint): boolean {
  return weight !== 0;
}

function isMaglev(plan: ServicePortPlan, options: ListOptions): boolean {
  return (plan.balancing ?? options.balancing) === "maglev" && fitsTable(plan, options);
}

/** Weights are shares of a table, whether a slot of it is chosen by a hash or at random. */
function hasTables(plan: ServicePortPlan, options: ListOptions): boolean {
  const { cluster, local } = listsOf(plan);
  return isMaglev(plan, options) || (areUnequal(cluster) || areUnequal(local)) && fitsTable(plan, options);
}

/** A table of fewer slots than endpoints would leave some out. */
function fitsTable(plan: ServicePortPlan, { maglevTableSize }: ListOptions): boolean {
  return Math.max(plan.clusterEndpoints.length, plan.localEndpoints.length) <= maglevTableSize;
}

/** Whether some endpoints are to get more than others. */
function areUnequal(endpoints: readonly Endpoint[]): boolean {
  return endpoints.some(({ weight }) => weight !== endpoints[0]?.weight);
}

/**
 * Every endpoint once: the lists overlap. Local ones that the cluster list does not have come first, then those of
 * both, then the others of the cluster list, then those that only serve.
 */
function plainRun({ cluster, local, serving }: Lists): EndpointRun {
  const isOneList = local.length === 0 &&
    (serving.length === 0 || sameList(serving, cluster, sameEndpoint));
  if (isOneList) {
    const all = { first: 0, count: cluster.length };
    return { endpoints: cluster, cluster: all, local: none, serving: serving.length === 0 ? none : all };
  }
  const [inCluster, inLocal] = [namesOf(cluster), namesOf(local)];
  const localOnly = local.filter((endpoint) => !inCluster.has(nameOf(endpoint)));
  const both = local.filter((endpoint) => inCluster.has(nameOf(endpoint)));
  const clusterOnly = cluster.filter((endpoint) => !inLocal.has(nameOf(endpoint)));
  const servingOnly = serving.filter((endpoint) => {
    const name = nameOf(endpoint);
    return !inCluster.has(name) && !inLocal.has(name);
  });
  const endpoints = [...localOnly, ...both, ...clusterOnly, ...servingOnly];
  return {
    endpoints,
    cluster: { first: localOnly.length, count: cluster.length },
    local: { first: 0, count: local.length },
    // Whoever gets new flows may keep them.
    serving: serving.length === 0 ? none : { first: 0, count: endpoints.length },
  };
}

/** The tables of both lists, one after the other, and before them the endpoints that UDP flows may stay with. */
function tablesRun(lists: Lists, size: number): EndpointRun {
  const serving = lists.serving.length === 0 ? [] : plainRun(lists).endpoints;
  const cluster = maglevTable(lists.cluster, size);
  const local = maglevTable(lists.local, size);
  return {
    endpoints: [...serving, ...cluster, ...local],
    serving: { first: 0, count: serving.length },
    cluster: { first: serving.length, count: cluster.length },
    local: { first: serving.length + cluster.length, count: local.length },
  };
}

const none: SlotRange = { first: 0, count: 0 };

function moved({ first, count }: SlotRange, by: number): SlotRange {
  return count === 0 ? none : { first: first + by, count };
}

function verdictOf(route: Route, { cluster, local }: EndpointRun): number {
  switch (route.verdict) {
    case "balance":
      // A plan balances over some endpoints; when all of them have weight 0, nobody gets a connection.
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

function namesOf(endpoints: readonly Endpoint[]): ReadonlySet<string> {
  return new Set(endpoints.map(nameOf));
}

function nameOf({ address, port }: Endpoint): string {
  return socketKey(address, port);
}
