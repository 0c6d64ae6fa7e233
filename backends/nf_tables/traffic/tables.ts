import type { ServiceTraffic, TrafficCounters } from "../../../core/backend/traffic.ts";
import type { Family } from "../../../core/net/protocol.ts";
import type { NodeSettings, PlanKey, ServicePortPlan } from "../../../core/plan/plan.ts";
import type { NetlinkClient } from "../../../ffi/netlink/client.ts";
import { assignCounters } from "./assign.ts";
import { countingSets, counts } from "./counting.ts";
import type { TableFamily } from "../families.ts";
import type { CountingTable } from "./obsolete.ts";
import { readTableCounters } from "./read.ts";

/** A table whose rules count. */
export interface CountedTable {
  readonly family: TableFamily;
  readonly settings: NodeSettings;
}

/** Reads the counters of the tables with a name. */
export async function readTraffic(
  client: NetlinkClient,
  name: string,
  tables: readonly CountedTable[],
  plans: ReadonlyMap<PlanKey, ServicePortPlan>,
): Promise<TrafficCounters> {
  const services: ServiceTraffic[] = [];
  const unallocated: Partial<Record<Family, number>> = {};
  for (const { family, settings } of tables) {
    if (!counts(settings)) continue;
    const counters = await readTableCounters(client, family, name, countingSets(settings));
    const own = () => plans.values().filter((plan) => plan.family === family.family);
    const assigned = await assignCounters(counters.frontends, own);
    for (const service of assigned.services) services.push(service);
    unallocated[family.family] = counters.unallocated;
  }
  return { services, unallocated };
}

/** The counters of a table with these settings. */
export function countingTable(name: string, { family, settings }: CountedTable): CountingTable {
  return { family, name, sets: countingSets(settings), nodePorts: settings.nodePorts };
}
