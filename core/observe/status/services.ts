import { type Address, familyOf, formatAddress } from "../../net/address.ts";
import type { EndpointSlice, Service, TrafficPolicy } from "../../objects/objects.ts";
import { type StoredService } from "../../objects/store.ts";
import { type Frontend, type PlanKey, planKey, type ServicePortPlan } from "../../plan/plan.ts";
import type { PlanQueue } from "../../sync/plan_queue.ts";
import type { TrafficTotals } from "./traffic_totals.ts";

/** The services and what is in force of them. */
export type KnownServices = Pick<
  PlanQueue,
  "store" | "applied" | "rejections" | "conflictsOf" | "view" | "waiting" | "conflicts"
>;

/** Why a service may not work as its owner expects; the more serious one first. */
export const PROBLEMS = [
  "rejected",
  "conflict",
  "no endpoints",
  "not in force",
  "no local endpoints",
] as const;
export type Problem = typeof PROBLEMS[number];

/** One line per Service. */
export interface ServiceRow {
  readonly namespace: string;
  readonly name: string;
  readonly addresses: readonly string[];
  /** Kinds of frontends. */
  readonly frontends: readonly Frontend["kind"][];
  /** Formatted as kubectl does: "80/TCP", "80:30080/TCP". */
  readonly ports: readonly string[];
  /** Number of ports that are not in `ports`. */
  readonly morePorts: number;
  readonly endpoints: EndpointCounts;
  readonly internalTrafficPolicy: TrafficPolicy;
  readonly externalTrafficPolicy: TrafficPolicy;
  /** Seconds; 0 for no affinity. */
  readonly affinitySeconds: number;
  readonly problems: readonly Problem[];
  /** Absent if nothing was counted for it. */
  readonly traffic?: TrafficTotals;
}

/** Endpoints as the slices list them. An endpoint of both families counts twice. */
export interface EndpointCounts {
  readonly total: number;
  readonly ready: number;
  /** Ready endpoints on this node. */
  readonly local: number;
}

/** Values that a row lists; a Service may have tens of thousands. */
const MAX_LISTED = 8;

/** @param key `namespace/name` */
export function serviceRow(
  key: string,
  { service, slices }: StoredService,
  known: KnownServices,
  traffic: TrafficTotals | undefined,
): ServiceRow {
  const { namespace, name, ports } = service;
  return {
    namespace,
    name,
    addresses: addressesOf(service).slice(0, MAX_LISTED).map(formatAddress),
    frontends: kindsOf(service),
    ports: ports.slice(0, MAX_LISTED).map(({ port, nodePort, protocol }) =>
      `${nodePort === 0 ? port : `${port}:${nodePort}`}/${protocol}`
    ),
    morePorts: Math.max(0, ports.length - MAX_LISTED),
    endpoints: countEndpoints(slices, known.view.context.nodeName),
    internalTrafficPolicy: service.internalTrafficPolicy,
    externalTrafficPolicy: service.externalTrafficPolicy,
    affinitySeconds: service.affinitySeconds,
    problems: problemsOf(key, service, known),
    ...(traffic === undefined ? {} : { traffic }),
  };
}

function addressesOf(service: Service): readonly Address[] {
  return [...service.clusterIPs, ...service.loadBalancerIPs, ...service.externalIPs];
}

function kindsOf({ loadBalancerIPs, externalIPs, ports }: Service): readonly Frontend["kind"][] {
  const kinds: Frontend["kind"][] = ["ClusterIP"];
  if (ports.some(({ nodePort }) => nodePort !== 0)) kinds.push("NodePort");
  if (loadBalancerIPs.length > 0) kinds.push("LoadBalancerIP");
  if (externalIPs.length > 0) kinds.push("ExternalIP");
  return kinds;
}

export function countEndpoints(slices: readonly EndpointSlice[], nodeName: string): EndpointCounts {
  let total = 0, ready = 0, local = 0;
  for (const { endpoints } of slices) {
    for (const { traits } of endpoints) {
      total++;
      if (!traits.ready) continue;
      ready++;
      if (nodeName !== "" && traits.nodeName === nodeName) local++;
    }
  }
  return { total, ready, local };
}

/** The plans of a service, by their keys; undefined for a service port that is not in force. */
export function plansOf(
  service: Service,
  { applied, view }: Pick<KnownServices, "applied" | "view">,
): ReadonlyMap<PlanKey, ServicePortPlan | undefined> {
  const { namespace, name } = service;
  const plans = new Map<PlanKey, ServicePortPlan | undefined>();
  for (const clusterIP of service.clusterIPs) {
    const family = familyOf(clusterIP);
    if (!view.context.families.includes(family)) continue;
    for (const { name: portName, protocol } of service.ports) {
      const key = planKey({ namespace, name, portName, protocol, family });
      plans.set(key, applied.get(key));
    }
  }
  return plans;
}

export function problemsOf(key: string, service: Service, known: KnownServices): readonly Problem[] {
  const found = new Set<Problem>();
  if (known.conflictsOf(key) > 0) found.add("conflict");
  for (const [planKey, plan] of plansOf(service, known)) {
    if (known.rejections.has(planKey)) found.add("rejected");
    else if (plan === undefined) found.add("not in force");
    if (plan === undefined) continue;
    if (plan.internal.verdict === "reject") found.add("no endpoints");
    if (lacksLocalEndpoints(plan)) found.add("no local endpoints");
  }
  return PROBLEMS.filter((problem) => found.has(problem));
}

/** A traffic policy is Local, and this node has no endpoint: its traffic is dropped here. */
function lacksLocalEndpoints({ internal, external, localEndpoints }: ServicePortPlan): boolean {
  return internal.verdict === "drop" ||
    (external.verdict === "local-external" && localEndpoints.length === 0);
}
