import type { PlanChange } from "../../core/backend/contract.ts";
import type { ServiceTraffic, TrafficCounters } from "../../core/backend/traffic.ts";
import type { Family } from "../../core/net/protocol.ts";
import type { Frontend, ServicePortPlan } from "../../core/plan/plan.ts";
import { sameFrontends } from "../../core/plan/same_plan.ts";
import type { NetlinkClient } from "../../ffi/netlink/client.ts";
import type { TableBatch } from "../nf_tables/batch.ts";
import type { TableFamily } from "../nf_tables/families.ts";
import { ElementLists } from "../nf_tables/set/element.ts";
import { addressKey, PORT_KEY_BYTES, portKey } from "../nf_tables/set/keys.ts";
import { assignCounters } from "../nf_tables/traffic/assign.ts";
import { countingSets, counts } from "../nf_tables/traffic/counting.ts";
import { readTableCounters } from "../nf_tables/traffic/read.ts";
import { TABLE } from "./names.ts";
import { COUNTING_SETS } from "./sets.ts";
import type { TableState } from "./table_state.ts";

/** Keys of counters: `addressKey`. */
export type CounterKeys = ReadonlySet<string>;

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
    const counters = await readTableCounters(client, family, TABLE.name);
    const assigned = assignCounters(counters.frontends, byFamily.get(family.family) ?? []);
    for (const service of assigned.services) services.push(service);
    unallocated[family.family] = counters.unallocated;
  }
  return { services, unallocated };
}

/** Finds the counters of a table that belong to no frontend, such as those removed while no proxy was running. */
export async function staleCounters(
  client: NetlinkClient,
  family: TableFamily,
  plans: Iterable<ServicePortPlan>,
): Promise<CounterKeys> {
  const { frontends } = await readTableCounters(client, family, TABLE.name);
  const own = [...plans].filter((plan) => plan.family === family.family);
  return new Set(assignCounters(frontends, own).unassigned);
}

/** Finds the counters of the frontends that service ports lose by the changes. */
export async function obsoleteCounters(
  client: NetlinkClient,
  { family, settings }: TableState,
  changes: readonly PlanChange[],
): Promise<CounterKeys> {
  const keys = new Set<string>();
  const ports = new Set<string>();
  for (const { old, new: next } of counts(settings) ? changes : []) {
    if (old === undefined || next !== undefined && sameFrontends(old, next)) continue;
    const kept = new Set(next?.frontends.map((frontend) => frontendKey(next, frontend)));
    for (const frontend of old.frontends) {
      const key = frontendKey(old, frontend);
      if (kept.has(key)) continue;
      if (frontend.kind !== "NodePort") keys.add(key);
      else if (settings.nodePorts === "all") ports.add(key);
      else for (const address of settings.nodePorts) keys.add(address + key);
    }
  }
  if (ports.size === 0) return keys;
  // The addresses are not known here.
  const { frontends } = await readTableCounters(client, family, TABLE.name);
  return keys.union(new Set([...frontends.keys()].filter((key) => ports.has(key.slice(-PORT_KEY_BYTES)))));
}

function frontendKey({ protocol }: ServicePortPlan, frontend: Frontend): string {
  return frontend.kind === "NodePort"
    ? portKey(protocol, frontend.port)
    : addressKey(frontend.address, protocol, frontend.port);
}

/** Deletes the counters, so that a later service port with the same frontend starts at 0. */
export function deleteCounters(batch: TableBatch, family: TableFamily, keys: CounterKeys): void {
  if (keys.size === 0) return;
  const specs = countingSets(family, COUNTING_SETS);
  // Add first, so that the delete never fails with ENOENT.
  for (const action of ["ensure", "delete"] as const) {
    const lists = new ElementLists(batch, family, action, specs);
    for (const key of keys) {
      for (const set of COUNTING_SETS) lists.add({ set, key, value: "", comment: "" });
    }
    lists.flush();
  }
}
