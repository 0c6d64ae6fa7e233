import type { RawCluster, RawEndpoint, RawSlice } from "./raw_objects.ts";
import { compare, type Family, type ServicePort } from "./reference_service_ports.ts";

/** An endpoint: docs/behaviour.md §1.4. */
export interface KnownEndpoint {
  readonly id: string;
  readonly isLocal: boolean;
  readonly isNodeUnknown: boolean;
  readonly ready: boolean;
  readonly servingTerminating: boolean;
  readonly terminating: boolean;
  readonly zones: readonly string[];
  readonly nodes: readonly string[];
}

export interface Selected {
  readonly cluster: readonly KnownEndpoint[];
  readonly local: readonly KnownEndpoint[];
  readonly hasAny: boolean;
}

/** Selects endpoints: docs/behaviour.md §3. */
export function selectEndpoints(of: ServicePort, from: RawCluster, family: Family): Selected {
  const externallyAccessible = of.nodePort !== 0 || of.lbVIPs.length > 0 || of.externalIPs.length > 0;
  const usesCluster = !of.internalLocal || externallyAccessible;
  const usesLocal = of.internalLocal || (of.externalLocal && externallyAccessible);
  const all = joinedEndpoints(of, from, family);
  let cluster: readonly KnownEndpoint[] = [];
  let local: readonly KnownEndpoint[] = [];
  let hasAny = false;
  if (usesCluster) {
    cluster = all.filter(({ ready }) => ready).filter(topology(all, from));
    if (cluster.length === 0) cluster = all.filter(({ servingTerminating }) => servingTerminating);
    hasAny = cluster.length > 0;
  }
  if (usesLocal) {
    hasAny ||= all.some(({ ready, servingTerminating }) => ready || servingTerminating);
    local = all.filter(({ isLocal, ready }) => isLocal && ready);
    if (local.length === 0) {
      local = all.filter(({ isLocal, servingTerminating }) => isLocal && servingTerminating);
    }
  }
  return { cluster, local, hasAny };
}

function topology(
  all: readonly KnownEndpoint[],
  { nodes }: RawCluster,
): (endpoint: KnownEndpoint) => boolean {
  const ready = all.filter((endpoint) => endpoint.ready);
  const here = nodes.find(({ metadata }) => metadata.name === "here");
  const zone = here?.metadata.labels?.["topology.kubernetes.io/zone"];
  if (ready.every(({ nodes }) => nodes.length > 0) && ready.some(({ nodes }) => nodes.includes("here"))) {
    return ({ nodes }) => nodes.includes("here");
  }
  if (
    zone !== undefined && ready.every(({ zones }) => zones.length > 0) &&
    ready.some(({ zones }) => zones.includes(zone))
  ) {
    return ({ zones }) => zones.includes(zone);
  }
  return () => true;
}

/** Joins slices to endpoints: docs/behaviour.md §1.4. */
function joinedEndpoints(
  of: ServicePort,
  { slices: all }: RawCluster,
  family: Family,
): readonly KnownEndpoint[] {
  const namespace = of.service.metadata.namespace ?? "default";
  const slices = all.filter(({ metadata, addressType }) =>
    (metadata.namespace ?? "default") === namespace && addressType === family &&
    metadata.labels?.["kubernetes.io/service-name"] === of.service.metadata.name &&
    !("service.kubernetes.io/headless" in metadata.labels)
  ).toSorted((a, b) => compare(a.metadata.name, b.metadata.name));
  const kept = new Map<string, KnownEndpoint>();
  for (const slice of slices) {
    for (const number of slicePortNumbers(slice, of)) {
      for (const endpoint of slice.endpoints) {
        const known = knownEndpoint(endpoint, number);
        const earlier = kept.get(known.id);
        if (earlier === undefined || !staysBefore(earlier, known)) kept.set(known.id, known);
      }
    }
  }
  return [...kept.values()];
}

/**
 * Tells whether the earlier of two duplicates stays. Unlike in kube-proxy, state decides: ready, then serving and
 * terminating, then local. Among equals, a later one that is not terminating replaces the earlier one.
 */
function staysBefore(earlier: KnownEndpoint, later: KnownEndpoint): boolean {
  if (earlier.ready !== later.ready) return earlier.ready;
  if (!earlier.ready && earlier.servingTerminating !== later.servingTerminating) {
    return earlier.servingTerminating;
  }
  if (earlier.isLocal !== later.isLocal) return earlier.isLocal;
  return later.terminating;
}

function slicePortNumbers(slice: RawSlice, of: ServicePort): number[] {
  return slice.ports.flatMap(({ name, protocol = "TCP", port }) => {
    // A missing name is "", which the API server fills in.
    const isOurs = name !== null && (name ?? "") === of.portName && protocol === of.protocol;
    return isOurs && port ? [port] : [];
  });
}

function knownEndpoint({ addresses, conditions, nodeName, hints }: RawEndpoint, port: number): KnownEndpoint {
  const { ready = true, serving = true, terminating = false } = conditions ?? {};
  return {
    id: `${addresses[0]} ${port}`,
    isLocal: nodeName === "here",
    isNodeUnknown: nodeName === undefined,
    ready,
    servingTerminating: serving && terminating,
    terminating,
    zones: (hints?.forZones ?? []).map(({ name }) => name),
    nodes: (hints?.forNodes ?? []).map(({ name }) => name),
  };
}
