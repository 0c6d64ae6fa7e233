import type { Family } from "../net/protocol.ts";
import {
  DEFAULT_WEIGHT,
  type EndpointSlice,
  type EndpointTraits,
  type SlicePort,
} from "../objects/objects.ts";
import type { Endpoint } from "./plan.ts";

/** An endpoint of a service port before selection, with the fields of its slice. */
export interface Candidate {
  readonly endpoint: Endpoint;
  readonly traits: EndpointTraits;
}

/**
 * Joins the endpoints of a service port in one family: sorted by address bytes, then port, without duplicates
 * (docs/behaviour.md §1.4).
 * @param slices in an order that does not depend on when they were received.
 * @param serviceWeight weight of endpoints whose slice has none.
 */
export function joinSlices(
  slices: readonly EndpointSlice[],
  port: Pick<SlicePort, "name" | "protocol">,
  family: Family,
  nodeName: string,
  serviceWeight = DEFAULT_WEIGHT,
): readonly Candidate[] {
  const all: Candidate[] = [];
  for (const slice of slices) {
    if (slice.family !== family) continue;
    const weight = slice.weight ?? serviceWeight;
    for (const slicePort of portsOf(slice, port)) {
      for (const { address, traits } of slice.endpoints) {
        const isLocal = nodeName !== "" && traits.nodeName === nodeName;
        const endpoint = endpointOn(traits.nodeName, { address, port: slicePort.port, isLocal });
        all.push({ endpoint: weighted(endpoint, weight), traits });
      }
    }
  }
  return withoutDuplicates(all.sort((a, b) => compareEndpoints(a.endpoint, b.endpoint)));
}

function endpointOn(nodeName: string, endpoint: Endpoint): Endpoint {
  return nodeName === "" ? { ...endpoint, isNodeUnknown: true } : endpoint;
}

/** A slice with more ports is indexed, because it is searched once per port of the service. */
const MAX_SEARCHED_PORTS = 16;

const indexes = new WeakMap<EndpointSlice, ReadonlyMap<string, readonly SlicePort[]>>();

/** The ports of the slice with the same name and protocol. */
function portsOf(
  slice: EndpointSlice,
  { name, protocol }: Pick<SlicePort, "name" | "protocol">,
): readonly SlicePort[] {
  if (slice.ports.length <= MAX_SEARCHED_PORTS) {
    return slice.ports.filter((port) => port.name === name && port.protocol === protocol);
  }
  const index = indexes.get(slice) ?? Map.groupBy(slice.ports, portId);
  indexes.set(slice, index);
  return index.get(portId({ name, protocol })) ?? [];
}

function portId({ name, protocol }: Pick<SlicePort, "name" | "protocol">): string {
  return `${name}/${protocol}`;
}

function weighted(endpoint: Endpoint, weight: number): Endpoint {
  return weight === DEFAULT_WEIGHT ? endpoint : { ...endpoint, weight };
}

export function compareEndpoints(a: Endpoint, b: Endpoint): number {
  if (a.address === b.address) return a.port - b.port;
  return a.address < b.address ? -1 : 1;
}

/**
 * Joins duplicates by state, not by position: a ready one wins over one that is terminating and serving, and that
 * one over the rest. Among equals, one on this node wins, then the later one unless it is terminating. kube-proxy
 * decides by position alone (docs/behaviour.md §1.4), so that an address that is listed ready and not ready may be
 * rejected.
 */
function withoutDuplicates(sorted: readonly Candidate[]): readonly Candidate[] {
  const kept: Candidate[] = [];
  for (const candidate of sorted) {
    const last = kept.at(-1);
    if (last === undefined || compareEndpoints(last.endpoint, candidate.endpoint) !== 0) kept.push(candidate);
    else if (replaces(candidate, last)) kept[kept.length - 1] = candidate;
  }
  return kept;
}

function replaces(candidate: Candidate, earlier: Candidate): boolean {
  const difference = precedence(candidate) - precedence(earlier);
  return difference > 0 || (difference === 0 && !candidate.traits.terminating);
}

function precedence(candidate: Candidate): number {
  const state = isReady(candidate) ? 2 : isServingTerminating(candidate) ? 1 : 0;
  return 2 * state + (candidate.endpoint.isLocal ? 1 : 0);
}

/**
 * Lists that a service port's traffic policies need: UsesClusterEndpoints and UsesLocalEndpoints of
 * docs/behaviour.md §2.
 */
export interface NeededLists {
  readonly cluster: boolean;
  readonly local: boolean;
}

/** Names by which topology hints refer to this node. `zone` is "" when the node has none. */
export interface NodeTopology {
  readonly nodeName: string;
  readonly zone: string;
}

export interface Selection {
  /** Empty when the list is not needed, or when no endpoint in the cluster can take connections. */
  readonly cluster: readonly Endpoint[];
  /** Empty when the list is not needed, or when no endpoint on this node can take connections. */
  readonly local: readonly Endpoint[];
  /** True when some endpoint, on any node, can take connections. */
  readonly hasAny: boolean;
}

/**
 * Selects the endpoints that get connections (docs/behaviour.md §3): in the cluster the ready endpoints that
 * topology hints allow, on this node all ready endpoints. Without any ready endpoint, those that are
 * terminating but still serving.
 */
export function selectEndpoints(
  candidates: readonly Candidate[],
  needed: NeededLists,
  node: NodeTopology,
): Selection {
  const ready = candidates.filter(isReady);
  const terminating = candidates.filter(isServingTerminating);
  const hasAny = ready.length > 0 || terminating.length > 0;
  const cluster = ready.length > 0 ? ready.filter(topologyFilter(ready, node)) : terminating;
  const localReady = needed.local ? ready.filter(isLocal) : [];
  const local = localReady.length > 0 || !needed.local ? localReady : terminating.filter(isLocal);
  return { cluster: needed.cluster ? cluster.map(endpointOf) : [], local: local.map(endpointOf), hasAny };
}

/**
 * Endpoints whose UDP flows continue (docs/behaviour.md §6). Ready endpoints count although they may not be
 * serving (publishNotReadyAddresses): cutting a flow that the next datagram recreates is pointless.
 * @param selected a subset; returned when it contains all of them, as it usually does, so that no second list
 * is kept.
 */
export function servingEndpoints(
  candidates: readonly Candidate[],
  selected: readonly Endpoint[],
): readonly Endpoint[] {
  return allEndpoints(candidates.filter(({ traits }) => traits.serving || traits.ready), selected);
}

/**
 * Endpoints of all candidates.
 * @param selected a subset; returned when it contains all of them.
 */
export function allEndpoints(
  candidates: readonly Candidate[],
  selected: readonly Endpoint[],
): readonly Endpoint[] {
  return candidates.length === selected.length ? selected : candidates.map(endpointOf);
}

function isReady(candidate: Candidate): boolean {
  return candidate.traits.ready;
}

function isServingTerminating(candidate: Candidate): boolean {
  return candidate.traits.serving && candidate.traits.terminating;
}

function isLocal(candidate: Candidate): boolean {
  return candidate.endpoint.isLocal;
}

function endpointOf(candidate: Candidate): Endpoint {
  return candidate.endpoint;
}

/**
 * Topology hints apply when every ready endpoint has some and at least one names this node or zone. Node
 * hints take precedence over zone hints. One endpoint without hints disables them, so that a service in the
 * middle of a rollout does not run out of endpoints.
 */
function topologyFilter(ready: readonly Candidate[], node: NodeTopology): (candidate: Candidate) => boolean {
  const { nodeName, zone } = node;
  if (hintsApply(ready, (candidate) => candidate.traits.nodeHints, nodeName)) {
    return (candidate) => candidate.traits.nodeHints.includes(nodeName);
  }
  if (hintsApply(ready, (candidate) => candidate.traits.zoneHints, zone)) {
    return (candidate) => candidate.traits.zoneHints.includes(zone);
  }
  return () => true;
}

function hintsApply(
  ready: readonly Candidate[],
  hintsOf: (candidate: Candidate) => readonly string[],
  here: string,
): boolean {
  let isNamed = false;
  for (const candidate of ready) {
    const hints = hintsOf(candidate);
    if (hints.length === 0) return false;
    isNamed ||= hints.includes(here);
  }
  return isNamed;
}
