import type { Endpoint, Frontend, Route, ServicePortPlan } from "../../core/model/plan.ts";
import { sameList } from "../../core/model/same_list.ts";
import { SERVICE, type ServiceEntry, type SlotRange, VERDICT } from "./layout.ts";
import { maglevTable } from "./maglev.ts";
import type { EbpfOptions } from "./options.ts";

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
  return isMaglev(plan, options) ? maglevRun(plan, options.maglevTableSize) : plainRun(plan);
}

/** Whether both plans have the same run. */
export function sameRun(a: ServicePortPlan, b: ServicePortPlan): boolean {
  return sameList(a.clusterEndpoints, b.clusterEndpoints, sameEndpoint) &&
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
    verdict: verdictOf(route),
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

/** A table of fewer slots than endpoints would leave some out. */
function isMaglev(plan: ServicePortPlan, { balancing, maglevTableSize }: ListOptions): boolean {
  return balancing === "maglev" &&
    Math.max(plan.clusterEndpoints.length, plan.localEndpoints.length) <= maglevTableSize;
}

/**
 * Every endpoint once: the lists overlap. Local ones that the cluster list does not have come first, then those of
 * both, then the others of the cluster list, then those that only serve.
 */
function plainRun(plan: ServicePortPlan): EndpointRun {
  const { clusterEndpoints, localEndpoints, servingEndpoints } = plan;
  const isOneList = localEndpoints.length === 0 &&
    (servingEndpoints.length === 0 || sameList(servingEndpoints, clusterEndpoints, sameEndpoint));
  if (isOneList) {
    const all = { first: 0, count: clusterEndpoints.length };
    const serving = servingEndpoints.length === 0 ? none : all;
    return { endpoints: clusterEndpoints, cluster: all, local: none, serving };
  }
  const [cluster, local] = [namesOf(clusterEndpoints), namesOf(localEndpoints)];
  const localOnly = localEndpoints.filter((endpoint) => !cluster.has(nameOf(endpoint)));
  const both = localEndpoints.filter((endpoint) => cluster.has(nameOf(endpoint)));
  const clusterOnly = clusterEndpoints.filter((endpoint) => !local.has(nameOf(endpoint)));
  const servingOnly = servingEndpoints.filter((endpoint) => {
    const name = nameOf(endpoint);
    return !cluster.has(name) && !local.has(name);
  });
  const endpoints = [...localOnly, ...both, ...clusterOnly, ...servingOnly];
  return {
    endpoints,
    cluster: { first: localOnly.length, count: clusterEndpoints.length },
    local: { first: 0, count: localEndpoints.length },
    // Whoever gets new flows may keep them.
    serving: servingEndpoints.length === 0 ? none : { first: 0, count: endpoints.length },
  };
}

/** The tables of both lists, one after the other, and before them the endpoints that UDP flows may stay with. */
function maglevRun(plan: ServicePortPlan, size: number): EndpointRun {
  const serving = plan.servingEndpoints.length === 0 ? [] : plainRun(plan).endpoints;
  const cluster = maglevTable(plan.clusterEndpoints, size);
  const local = maglevTable(plan.localEndpoints, size);
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

function verdictOf(route: Route): number {
  switch (route.verdict) {
    case "balance":
      return route.to === "cluster" ? VERDICT.BALANCE_CLUSTER : VERDICT.BALANCE_LOCAL;
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
  return `${address}:${port}`;
}

function sameEndpoint(a: Endpoint, b: Endpoint): boolean {
  return a === b || (a.address === b.address && a.port === b.port && a.isLocal === b.isLocal);
}
