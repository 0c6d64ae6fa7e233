import type { ServiceTraffic, TrafficCounters } from "../../backend/traffic.ts";
import { formatAddress, formatCidr, socketKey } from "../../net/address.ts";
import type { Family, Protocol } from "../../net/protocol.ts";
import type { EndpointSlice, Service, TrafficPolicy } from "../../objects/objects.ts";
import type { StoredService } from "../../objects/store.ts";
import { type EndpointState, endpointState } from "../../plan/endpoint_state.ts";
import { type Candidate, joinSlices } from "../../plan/endpoints.ts";
import { describeFrontend, type Endpoint, type PlanKey, type ServicePortPlan } from "../../plan/plan.ts";
import { type ClientPath, clientPaths } from "./client_paths.ts";
import { totalsOf, type TrafficTotals } from "./traffic_totals.ts";
import {
  countEndpoints,
  type EndpointCounts,
  type KnownServices,
  plansOf,
  type Problem,
  problemsOf,
} from "./services.ts";

/** One service opened: who reaches it where, and what answers. */
export interface ServiceDetail {
  readonly namespace: string;
  readonly name: string;
  /** RFC 3339; "" when unknown. */
  readonly created: string;
  readonly internalTrafficPolicy: TrafficPolicy;
  readonly externalTrafficPolicy: TrafficPolicy;
  /** Seconds; 0 for no affinity. */
  readonly affinitySeconds: number;
  /** 0 for none. */
  readonly healthCheckNodePort: number;
  readonly endpoints: EndpointCounts;
  readonly problems: readonly Problem[];
  readonly ports: readonly PortDetail[];
  /** Service ports that are not in `ports`. */
  readonly morePorts: number;
}

/** One service port in one family. */
export interface PortDetail {
  readonly portName: string;
  readonly protocol: Protocol;
  readonly family: Family;
  /** False when the kernel has no rules for it. */
  readonly inForce: boolean;
  /** Reason of the kernel for rejecting the current version. */
  readonly rejection?: string;
  readonly frontends: readonly { readonly kind: string; readonly text: string }[];
  readonly moreFrontends: number;
  readonly paths: readonly ClientPath[];
  /** Source addresses that may use the load balancer's addresses; absent when all may. */
  readonly sourceRanges?: readonly string[];
  readonly endpoints: readonly EndpointDetail[];
  /** Endpoints that are not in `endpoints`. If there are very many, endpoints of other ports count as well. */
  readonly moreEndpoints: number;
  /** Kinds of frontends that got connections. */
  readonly traffic: readonly FrontendTraffic[];
}

/** Traffic of the frontends of one kind. */
export interface FrontendTraffic extends TrafficTotals {
  /** Absent in a mode that counts all frontends together. */
  readonly frontend?: string;
}

export interface EndpointDetail {
  readonly address: string;
  readonly port: number;
  /** "" when unknown. */
  readonly node: string;
  /** "" when unknown. */
  readonly zone: string;
  readonly state: EndpointState;
  readonly isLocal: boolean;
  /** Lists that new connections are balanced over and that have this endpoint. */
  readonly lists: readonly ("cluster" | "local")[];
  /** Relative share of the new connections; 1 for most. */
  readonly weight: number;
}

/** A Service may have thousands of ports, frontends and endpoints. The first ones are shown. */
const MAX_PORTS = 20;
const MAX_SHOWN = 100;
/** Endpoints that are considered: enough for every service that fits on a page. */
const MAX_CONSIDERED = 1000;

export function serviceDetail(
  key: string,
  { service, slices }: StoredService,
  known: KnownServices,
  traffic: TrafficCounters,
): ServiceDetail {
  const plans = [...plansOf(service, known)];
  const { namespace, name, created, affinitySeconds, healthCheckNodePort } = service;
  const counts = countEndpoints(slices, known.view.context.nodeName);
  const considered = firstEndpoints(slices);
  const ignored = Math.max(0, counts.total - MAX_CONSIDERED);
  return {
    namespace,
    name,
    created,
    internalTrafficPolicy: service.internalTrafficPolicy,
    externalTrafficPolicy: service.externalTrafficPolicy,
    affinitySeconds,
    healthCheckNodePort,
    endpoints: counts,
    problems: problemsOf(key, service, known),
    ports: plans.slice(0, MAX_PORTS).map(([key, plan]) => ({
      ...portDetail(key, plan, { service, slices: considered, ignored }, known),
      traffic: traffic.services.filter((counters) => counters.key === key).map(frontendTraffic),
    })),
    morePorts: Math.max(0, plans.length - MAX_PORTS),
  };
}

/** The slices up to the first endpoints, without copies of those that are complete. */
function firstEndpoints(slices: readonly EndpointSlice[]): readonly EndpointSlice[] {
  let left = MAX_CONSIDERED;
  const first: EndpointSlice[] = [];
  for (const slice of slices) {
    if (left === 0) break;
    first.push(
      slice.endpoints.length <= left ? slice : { ...slice, endpoints: slice.endpoints.slice(0, left) },
    );
    left -= Math.min(left, slice.endpoints.length);
  }
  return first;
}

function portDetail(
  key: PlanKey,
  plan: ServicePortPlan | undefined,
  { service, slices, ignored }: StoredService & { readonly ignored: number },
  { rejections, view }: KnownServices,
): Omit<PortDetail, "traffic"> {
  const [protocol, family] = key.split("/").slice(-2) as [Protocol, Family];
  const portName = plan?.portName ?? portNameIn(key, service);
  const rejection = rejections.ports().find((rejected) => rejected.key === key)?.reason;
  const frontends = plan?.frontends ?? [];
  const candidates = joinSlices(
    slices,
    { name: portName, protocol },
    family,
    view.context.nodeName,
    service.weight,
  );
  const lists = plan === undefined ? new Map() : listsOf(plan);
  return {
    portName,
    protocol,
    family,
    inForce: plan !== undefined,
    ...(rejection === undefined ? {} : { rejection }),
    frontends: frontends.slice(0, MAX_SHOWN).map((frontend) => ({
      kind: frontend.kind,
      text: describeFrontend(frontend, protocol),
    })),
    moreFrontends: Math.max(0, frontends.length - MAX_SHOWN),
    paths: plan === undefined ? [] : clientPaths(plan),
    ...(plan?.sourceRanges === undefined
      ? {}
      : { sourceRanges: plan.sourceRanges.slice(0, MAX_SHOWN).map(formatCidr) }),
    endpoints: candidates.slice(0, MAX_SHOWN).map((candidate) => endpointDetail(candidate, lists)),
    moreEndpoints: Math.max(0, candidates.length - MAX_SHOWN) + ignored,
  };
}

/** The key has `namespace/name:portName/TCP/IPv4`, and no name contains a colon or a slash. */
function portNameIn(key: PlanKey, { namespace, name }: Service): string {
  const rest = key.slice(namespace.length + name.length + 1);
  return rest.startsWith(":") ? rest.slice(1, rest.indexOf("/")) : "";
}

function frontendTraffic(traffic: ServiceTraffic): FrontendTraffic {
  return { ...totalsOf(traffic), ...(traffic.frontend === undefined ? {} : { frontend: traffic.frontend }) };
}

type Lists = ReadonlyMap<string, readonly ("cluster" | "local")[]>;

function listsOf({ clusterEndpoints, localEndpoints }: ServicePortPlan): Lists {
  const lists = new Map<string, ("cluster" | "local")[]>();
  const add = (list: "cluster" | "local", endpoints: readonly Endpoint[]) => {
    for (const { address, port } of endpoints.slice(0, MAX_CONSIDERED)) {
      const key = socketKey(address, port);
      lists.set(key, [...lists.get(key) ?? [], list]);
    }
  };
  add("cluster", clusterEndpoints);
  add("local", localEndpoints);
  return lists;
}

function endpointDetail({ endpoint, traits }: Candidate, lists: Lists): EndpointDetail {
  const { address, port, isLocal, weight = 1 } = endpoint;
  return {
    address: formatAddress(address),
    port,
    node: traits.nodeName,
    zone: traits.zone ?? "",
    state: endpointState(traits),
    isLocal,
    lists: lists.get(socketKey(address, port)) ?? [],
    weight,
  };
}
