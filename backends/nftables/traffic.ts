import type { ServiceTraffic, TrafficCounters } from "../../core/backend/traffic.ts";
import type { Family } from "../../core/net/protocol.ts";
import type { ServicePortPlan } from "../../core/plan/plan.ts";
import type { NetlinkClient } from "../../ffi/netlink/client.ts";
import { assignCounters } from "../nf_tables/traffic/assign.ts";
import { countingSets, counts } from "../nf_tables/traffic/counting.ts";
import type { CountingTable } from "../nf_tables/traffic/obsolete.ts";
import { readTableCounters } from "../nf_tables/traffic/read.ts";
import { TABLE } from "./names.ts";
import type { TableState } from "./table_state.ts";

/** Reads the counters of the tables. */
export async function readTraffic(
  client: NetlinkClient,
  tables: readonly TableState[],
  plans: Iterable<ServicePortPlan>,
): Promise<TrafficCounters> {
  const services: ServiceTraffic[] = [];
  const unallocated: Partial<Record<Family, number>> = {};
  const byFamily = Map.groupBy(plans, ({ family }) => family);
  for (const { family, settings } of tables) {
    if (!counts(settings)) continue;
    const counters = await readTableCounters(client, family, TABLE.name, countingSets(settings));
    const assigned = await assignCounters(counters.frontends, byFamily.get(family.family) ?? []);
    for (const service of assigned.services) services.push(service);
    unallocated[family.family] = counters.unallocated;
  }
  return { services, unallocated };
}

/** The counters of a table with these settings. */
export function countingTable(
  { family, settings }: Pick<TableState, "family" | "settings">,
): CountingTable {
  return { family, name: TABLE.name, sets: countingSets(settings), nodePorts: settings.nodePorts };
}
