import { sameCidr, socketKey } from "../net/address.ts";
import type { Endpoint, Frontend, Route, ServicePortPlan } from "./plan.ts";
import { sameList } from "../objects/equality.ts";

/** Reports whether both plans are of the same service port and lead to the same kernel state. */
export function samePlan(a: ServicePortPlan, b: ServicePortPlan): boolean {
  return a === b || (
    a.key === b.key &&
    a.affinitySeconds === b.affinitySeconds &&
    a.balancing === b.balancing &&
    a.proxyProtocol === b.proxyProtocol &&
    a.healthCheckNodePort === b.healthCheckNodePort &&
    sameRoute(a.internal, b.internal) &&
    sameRoute(a.external, b.external) &&
    sameFrontends(a, b) &&
    sameList(a.clusterEndpoints, b.clusterEndpoints, sameEndpoint) &&
    sameList(a.localEndpoints, b.localEndpoints, sameEndpoint) &&
    sameList(a.servingEndpoints, b.servingEndpoints, sameEndpoint) &&
    sameSourceRanges(a, b)
  );
}

/** Like `samePlan`, where undefined stands for no plan. */
export function samePlanOrNone(a: ServicePortPlan | undefined, b: ServicePortPlan | undefined): boolean {
  return a === b || (a !== undefined && b !== undefined && samePlan(a, b));
}

export function sameRoute(a: Route, b: Route): boolean {
  if (a === b) return true;
  if (a.verdict !== "balance" || b.verdict !== "balance") return a.verdict === b.verdict;
  return a.to === b.to && a.masquerade === b.masquerade;
}

export function sameFrontends(a: ServicePortPlan, b: ServicePortPlan): boolean {
  return sameList(a.frontends, b.frontends, sameFrontend);
}

function sameFrontend(a: Frontend, b: Frontend): boolean {
  if (a.kind !== b.kind || a.port !== b.port) return false;
  return a.kind === "NodePort" || b.kind === "NodePort" || a.address === b.address;
}

export function sameEndpoint(a: Endpoint, b: Endpoint): boolean {
  return a === b ||
    (a.address === b.address && a.port === b.port && a.isLocal === b.isLocal &&
      a.isNodeUnknown === b.isNodeUnknown && a.weight === b.weight);
}

/**
 * Reports whether `next` lacks an endpoint that flows could keep under `old`, the plan before of the same
 * service port.
 */
export function losesServingEndpoint(old: ServicePortPlan, next: ServicePortPlan): boolean {
  return losesEndpoint([old.servingEndpoints], [next.servingEndpoints]);
}

/** Reports whether `next` lacks an endpoint that new flows could get under `old`. */
export function losesNewFlowEndpoint(old: ServicePortPlan, next: ServicePortPlan): boolean {
  return losesEndpoint(
    [old.clusterEndpoints, old.localEndpoints],
    [next.clusterEndpoints, next.localEndpoints],
  );
}

type Endpoints = readonly Endpoint[];

function losesEndpoint(old: readonly Endpoints[], next: readonly Endpoints[]): boolean {
  if (old.every((list, i) => list === next[i])) return false;
  const kept = new Set(next.flat().map(({ address, port }) => socketKey(address, port)));
  return old.some((list) => list.some(({ address, port }) => !kept.has(socketKey(address, port))));
}

export function sameSourceRanges(
  { sourceRanges: a }: ServicePortPlan,
  { sourceRanges: b }: ServicePortPlan,
): boolean {
  return a === undefined || b === undefined ? a === b : sameList(a, b, sameCidr);
}
