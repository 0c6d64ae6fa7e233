import type { Family } from "../net/protocol.ts";
import {
  DEFAULT_WEIGHT,
  type EndpointSlice,
  type EndpointTraits,
  type SlicePort,
} from "../objects/objects.ts";
import type { Endpoint } from "./plan.ts";

/** An endpoint of a service port before selection, and what its slice says of it. */
export interface Candidate {
  readonly endpoint: Endpoint;
  readonly traits: EndpointTraits;
}

/**
 * The endpoints that slices give a service port in a family: sorted by address bytes, then port, without duplicates
 * (docs/behaviour.md §1.4). `slices` come in an order that does not depend on when they were seen.
 * @param serviceWeight of endpoints whose slice says none.
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
    for (const slicePort of slice.ports) {
      if (slicePort.name !== port.name || slicePort.protocol !== port.protocol) continue;
      for (const { address, traits } of slice.endpoints) {
        const isLocal = nodeName !== "" && traits.nodeName === nodeName;
        all.push({ endpoint: weighted({ address, port: slicePort.port, isLocal }, weight), traits });
      }
    }
  }
  return withoutDuplicates(all.sort((a, b) => compareEndpoints(a.endpoint, b.endpoint)));
}

function weighted(endpoint: Endpoint, weight: number): Endpoint {
  return weight === DEFAULT_WEIGHT ? endpoint : { ...endpoint, weight };
}

function compareEndpoints(a: Endpoint, b: Endpoint): number {
  if (a.address === b.address) return a.port - b.port;
  return a.address < b.address ? -1 : 1;
}

/** Of duplicates the first counts, but each later one that is not terminating takes its place. */
function withoutDuplicates(sorted: readonly Candidate[]): readonly Candidate[] {
  const kept: Candidate[] = [];
  for (const candidate of sorted) {
    const last = kept.at(-1);
    if (last === undefined || compareEndpoints(last.endpoint, candidate.endpoint) !== 0) kept.push(candidate);
    else if (!candidate.traits.terminating) kept[kept.length - 1] = candidate;
  }
  return kept;
}

/** The lists a service port's traffic policies ask for: UsesClusterEndpoints and UsesLocalEndpoints of §2. */
export interface Wanted {
  readonly cluster: boolean;
  readonly local: boolean;
}

/** Where this node is: hints name nodes and zones. `zone` is "" when the node has none. */
export interface Place {
  readonly nodeName: string;
  readonly zone: string;
}

export interface Selection {
  /** Empty when it is not wanted, or when nothing in the cluster can take connections. */
  readonly cluster: readonly Endpoint[];
  /** Empty when it is not wanted, or when nothing on this node can take connections. */
  readonly local: readonly Endpoint[];
  /** Some endpoint, wherever it is, can take connections. */
  readonly hasAny: boolean;
}

/**
 * Which endpoints get connections (docs/behaviour.md §3): the ready ones that topology hints allow, in the cluster,
 * and the ready ones of this node, whatever the hints. Where there are no ready ones, those that terminate but
 * still serve.
 */
export function selectEndpoints(candidates: readonly Candidate[], wanted: Wanted, place: Place): Selection {
  const ready = candidates.filter(isReady);
  const terminating = candidates.filter(isServingTerminating);
  const hasAny = ready.length > 0 || terminating.length > 0;
  const cluster = ready.length > 0 ? ready.filter(topologyFilter(ready, place)) : terminating;
  const localReady = wanted.local ? ready.filter(isLocal) : [];
  const local = localReady.length > 0 || !wanted.local ? localReady : terminating.filter(isLocal);
  return { cluster: wanted.cluster ? cluster.map(endpointOf) : [], local: local.map(endpointOf), hasAny };
}

/**
 * Endpoints whose UDP flows go on (docs/behaviour.md §6). Ready ones count although they may not serve
 * (publishNotReadyAddresses): to cut flows that the next datagram brings back would help nobody. `selected`, a part of
 * these, is returned when it is all of them, as it mostly is, so that no second list is kept.
 */
export function servingEndpoints(
  candidates: readonly Candidate[],
  selected: readonly Endpoint[],
): readonly Endpoint[] {
  return allEndpoints(candidates.filter(({ traits }) => traits.serving || traits.ready), selected);
}

/** Those of all candidates; `selected`, a part of them, when it is all of them. */
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
 * Hints count when every ready endpoint has some and one of them is for us; node hints go before zone hints. One
 * endpoint without hints switches them off, so that a service half-way through a rollout is not starved.
 */
function topologyFilter(ready: readonly Candidate[], place: Place): (candidate: Candidate) => boolean {
  const { nodeName, zone } = place;
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
