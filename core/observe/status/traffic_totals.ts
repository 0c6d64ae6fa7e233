import {
  refusedPackets,
  type ServiceTraffic,
  type TrafficCounters,
  type Volume,
} from "../../backend/traffic.ts";
import { eachInTurns } from "../../async/turns.ts";
import { serviceNameOf } from "../../plan/plan.ts";

/** Traffic of a service, or of a part of it, since its counters exist. */
export interface TrafficTotals {
  readonly connections: number;
  /** Rejected and dropped packets of new connections. */
  readonly refused: number;
  /** Absent if they are not counted. */
  readonly toEndpoints?: Volume;
  /** Absent if they are not counted. */
  readonly fromEndpoints?: Volume;
}

/** Reads the counters. Those that cannot be read count as 0, because the rest is worth showing; scrapes log the error. */
export async function countersOf(source: { get(): Promise<TrafficCounters> }): Promise<TrafficCounters> {
  try {
    return await source.get();
  } catch {
    return { services: [], unallocated: {} };
  }
}

/** Adds the counters up per Service, by `namespace/name`. */
export async function totalsByService(
  { services }: TrafficCounters,
): Promise<ReadonlyMap<string, TrafficTotals>> {
  const totals = new Map<string, TrafficTotals>();
  await eachInTurns(services, (traffic) => {
    const name = serviceNameOf(traffic.key);
    totals.set(name, sum(totals.get(name), totalsOf(traffic)));
  });
  return totals;
}

export function totalsOf(
  { connections, refused, toEndpoints, fromEndpoints }: ServiceTraffic,
): TrafficTotals {
  return {
    connections,
    refused: refusedPackets(refused),
    ...(toEndpoints === undefined ? {} : { toEndpoints }),
    ...(fromEndpoints === undefined ? {} : { fromEndpoints }),
  };
}

function sum(a: TrafficTotals | undefined, b: TrafficTotals): TrafficTotals {
  if (a === undefined) return b;
  const toEndpoints = sumOfVolumes(a.toEndpoints, b.toEndpoints);
  const fromEndpoints = sumOfVolumes(a.fromEndpoints, b.fromEndpoints);
  return {
    connections: a.connections + b.connections,
    refused: a.refused + b.refused,
    ...(toEndpoints === undefined ? {} : { toEndpoints }),
    ...(fromEndpoints === undefined ? {} : { fromEndpoints }),
  };
}

function sumOfVolumes(a: Volume | undefined, b: Volume | undefined): Volume | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return { packets: a.packets + b.packets, bytes: a.bytes + b.bytes };
}
