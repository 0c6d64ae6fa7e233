import type { ServiceTraffic, TrafficCounters } from "../../../core/backend/traffic.ts";
import type { PlanChange } from "../../../core/backend/contract.ts";
import { changesOfFamily } from "../../../core/backend/plan_changes.ts";
import type { Family } from "../../../core/net/protocol.ts";
import type { NodeSettings, PlanKey, ServicePortPlan } from "../../../core/plan/plan.ts";
import type { NetlinkClient } from "../../../ffi/netlink/client.ts";
import { assignCounters } from "./assign.ts";
import { countingSets, counts } from "./counting.ts";
import type { TableBatch } from "../batch.ts";
import type { TableFamily } from "../families.ts";
import type { TableSchema } from "../schema.ts";
import {
  type CounterKeys,
  type CountingTable,
  deleteCounters,
  obsoleteCounters,
  staleCounters,
} from "./obsolete.ts";
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

/** Adds the deletion of counters to a batch. */
export type CounterDeletion = (batch: TableBatch) => void;

/** Finds the counters that stay in existing tables although their frontends are gone. */
export async function deletionOfStaleCounters(
  client: NetlinkClient,
  name: string,
  tables: readonly (CountedTable & { readonly actual: TableSchema | undefined })[],
  plans: Iterable<ServicePortPlan>,
): Promise<CounterDeletion> {
  const stale: Counters[] = [];
  for (const { actual, ...counted } of tables) {
    const all = countingTable(name, counted);
    const table = { ...all, sets: all.sets.filter((set) => actual?.sets.has(set)) };
    if (table.sets.length > 0) stale.push({ table, keys: await staleCounters(client, table, plans) });
  }
  return deletionOf(stale);
}

/** Finds the counters of the frontends that service ports lose by the changes. */
export async function deletionOfObsoleteCounters(
  client: NetlinkClient,
  name: string,
  tables: readonly CountedTable[],
  changes: readonly PlanChange[],
): Promise<CounterDeletion> {
  const obsolete: Counters[] = [];
  for (const counted of tables) {
    const table = countingTable(name, counted);
    const own = changesOfFamily(changes, counted.family.family);
    obsolete.push({ table, keys: await obsoleteCounters(client, table, own) });
  }
  return deletionOf(obsolete);
}

interface Counters {
  readonly table: CountingTable;
  readonly keys: CounterKeys;
}

function deletionOf(counters: readonly Counters[]): CounterDeletion {
  return (batch) => {
    for (const { table, keys } of counters) deleteCounters(batch, table, keys);
  };
}

/** The counters of a table with these settings. */
function countingTable(name: string, { family, settings }: CountedTable): CountingTable {
  return { family, name, sets: countingSets(settings), nodePorts: settings.nodePorts };
}
