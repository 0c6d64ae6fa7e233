import type { RelayState } from "../../backend/follower.ts";
import type { LoopbackState } from "../../backend/loopback.ts";
import type { UnservedNodePorts } from "../../backend/unserved_node_ports.ts";
import type { TrafficCounters } from "../../backend/traffic.ts";
import type { Family } from "../../net/protocol.ts";
import type { HealthBody } from "../health/health.ts";
import type { Activity, Lag, LastSync, Occurrence } from "./activity.ts";
import { BUCKET_SECONDS, type HistoryBucket } from "./history.ts";
import { type RejectionStatus, rejectionStatus } from "./in_force.ts";
import type { InvalidObject } from "./invalid_objects.ts";
import type { KnownServices } from "./services.ts";

/** The answer of /api/v1/status. Times are RFC 3339. */
export interface Status {
  readonly version: string;
  readonly mode: string;
  /** Why `--proxy-mode=auto` selected the mode; absent when the mode was named. */
  readonly modeReason?: string;
  readonly node: string;
  readonly startedAt: string;
  readonly now: string;
  readonly families: readonly Family[];
  readonly source: SourceStatus;
  readonly health: { readonly healthy: boolean; readonly nodeEligible: boolean };
  readonly objects: ObjectCounts;
  /** Absent before the first sync. */
  readonly lastSync?: LastSync;
  /** The traffic metrics that the proxy keeps per service. */
  readonly traffic: TrafficLevel;
  /** Changes that are not in force yet. */
  readonly waiting: { readonly services: number; readonly endpoints: number };
  /** Absent before the first change of an endpoint. */
  readonly lag?: Lag;
  /** Connections that end at the process; absent in modes without a relay, and before it runs. */
  readonly relay?: RelayState;
  /** Absent if no Service is served on a loopback address. */
  readonly loopback?: LoopbackState;
  readonly errors: {
    /** The failure of the last sync; absent if it succeeded. */
    readonly sync?: Occurrence;
    readonly rejections: { readonly total: number; readonly first: readonly RejectionStatus[] };
    /** Objects that exist and cannot be used. */
    readonly invalid: { readonly total: number; readonly first: readonly InvalidObject[] };
    /** Number of frontends that services claim and other services have. */
    readonly frontendConflicts: number;
    /** Node ports that the process could not listen on; absent in modes where it listens on none. */
    readonly nodePorts?: UnservedNodePorts;
  };
  readonly repairs: { readonly count: number; readonly last: readonly Occurrence[] };
  readonly history: { readonly bucketSeconds: number; readonly buckets: readonly HistoryBucket[] };
}

export type TrafficLevel = "off" | "connections" | "full";

export interface SourceStatus {
  readonly kind: "API server" | "directory of manifests";
  readonly connected: boolean;
  readonly lostAt?: string;
}

export interface ObjectCounts {
  readonly services: number;
  readonly servicePorts: number;
  readonly endpoints: number;
}

/** Parts of the process that the status describes. */
export interface StatusSources {
  readonly version: string;
  readonly mode: string;
  /** Why `--proxy-mode=auto` selected the mode; undefined when the mode was named. */
  readonly modeReason: string | undefined;
  readonly node: string;
  readonly families: readonly Family[];
  readonly sourceKind: SourceStatus["kind"];
  readonly health: { healthz(): { readonly body: HealthBody } };
  readonly activity: Activity;
  readonly services: KnownServices;
  /** Reads the traffic counters from the kernel. */
  readonly traffic: { get(): Promise<TrafficCounters> };
  readonly trafficLevel: TrafficLevel;
  /** Reads the connections of the relay; undefined in modes without one. */
  readonly relay: (() => Promise<RelayState | undefined>) | undefined;
  /** Reads the loopback addresses of Services; undefined in modes without them. */
  readonly loopback: ((limit: number) => LoopbackState | undefined) | undefined;
  /** Reads the node ports that the process could not listen on; undefined in modes where it listens on none. */
  readonly unservedNodePorts?: ((limit: number) => UnservedNodePorts) | undefined;
}

const MAX_REJECTIONS = 20;
const MAX_INVALID = 20;
const MAX_LOOPBACK = 20;
const MAX_NODE_PORTS = 20;

/**
 * @param nowMs milliseconds since the epoch.
 * @param maxLoopback maximum number of loopback addresses.
 */
export function statusOf(sources: StatusSources, nowMs: number, maxLoopback = MAX_LOOPBACK): Status {
  const { version, mode, modeReason, node, families, sourceKind, health, activity, services, trafficLevel } =
    sources;
  const { healthy, nodeEligible = true, source } = health.healthz().body;
  const { lastSync, lag, failure, repairs, history } = activity;
  const loopback = sources.loopback?.(maxLoopback);
  const nodePorts = sources.unservedNodePorts?.(MAX_NODE_PORTS);
  return {
    version,
    mode,
    ...(modeReason === undefined ? {} : { modeReason }),
    node,
    startedAt: activity.startedAt,
    now: new Date(nowMs).toISOString(),
    families,
    source: { kind: sourceKind, ...source },
    health: { healthy, nodeEligible },
    objects: {
      services: services.store.counts.Service,
      servicePorts: services.applied.size,
      endpoints: services.store.endpointCount,
    },
    ...(lastSync === undefined ? {} : { lastSync }),
    traffic: trafficLevel,
    waiting: { services: services.waiting.services, endpoints: services.waiting.endpoints },
    ...(lag === undefined ? {} : { lag }),
    ...(loopback === undefined ? {} : { loopback }),
    errors: {
      ...(failure === undefined ? {} : { sync: failure }),
      rejections: rejectionsOf(services, nowMs),
      invalid: {
        total: activity.invalidObjects.total,
        first: activity.invalidObjects.first(MAX_INVALID),
      },
      frontendConflicts: services.conflicts,
      ...(nodePorts === undefined ? {} : { nodePorts }),
    },
    repairs,
    history: { bucketSeconds: BUCKET_SECONDS, buckets: history.lastHour(nowMs) },
  };
}

function rejectionsOf({ rejections }: KnownServices, nowMs: number): Status["errors"]["rejections"] {
  const first = [...rejections.ports().take(MAX_REJECTIONS)].map((port) => rejectionStatus(port, nowMs));
  return { total: rejections.size, first };
}
