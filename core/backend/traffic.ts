import type { Family } from "../net/protocol.ts";
import type { FrontendKind, PlanKey } from "../plan/plan.ts";

/**
 * Traffic of one service port at its frontends of one kind, since its counters exist. Counters may start again at 0
 * when a mode has to replace the kernel object that counts (docs/traffic.md).
 */
export interface ServiceTraffic {
  readonly key: PlanKey;
  /** Undefined in a mode that counts all frontends of a service port together. */
  readonly frontend: FrontendKind | undefined;
  /** New connections that were sent to an endpoint. For UDP, new flows. */
  readonly connections: number;
  /** Packets from clients to endpoints; undefined if they are not counted. */
  readonly toEndpoints?: Volume;
  /** Packets from endpoints to clients; undefined if they are not counted. */
  readonly fromEndpoints?: Volume;
  /** Rejected and dropped packets of new connections. A reason is absent if the mode cannot count it. */
  readonly refused: Refusals;
}

export interface Volume {
  readonly packets: number;
  /** Length of the IP packets, with their headers. */
  readonly bytes: number;
}

export type Refusals = Readonly<Partial<Record<RefusalReason, number>>>;

/** Causes of the rejection or drop of a connection to a service port. */
export const REFUSAL_REASONS = ["no-endpoints", "no-local-endpoints", "source-range"] as const;
export type RefusalReason = (typeof REFUSAL_REASONS)[number];

/** Adds up the refused packets of all reasons. */
export function refusedPackets(refused: Refusals): number {
  return Object.values(refused).reduce((all, one) => all + one, 0);
}

/** The counters of a mode at one moment. */
export interface TrafficCounters {
  /** Service ports without traffic may be absent. */
  readonly services: readonly ServiceTraffic[];
  /**
   * Dropped packets of new connections to addresses in a service range that no service has, by family; absent if the
   * mode cannot count them.
   */
  readonly unallocated: Readonly<Partial<Record<Family, number>>>;
}
