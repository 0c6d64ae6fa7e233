import { Turns } from "../../../core/async/turns.ts";
import type { PlanChange } from "../../../core/backend/contract.ts";
import type { NodeSettings, ServicePortPlan } from "../../../core/plan/plan.ts";
import { sameFrontends } from "../../../core/plan/same_plan.ts";
import type { NetlinkClient } from "../../../ffi/netlink/client.ts";
import type { TableBatch } from "../batch.ts";
import type { TableFamily } from "../families.ts";
import { ElementLists } from "../set/element.ts";
import { frontendKey, PORT_KEY_BYTES } from "../set/keys.ts";
import { assignCounters } from "./assign.ts";
import { countingSetSpec } from "./counting.ts";
import { readTableCounters } from "./read.ts";

/** Keys of counters: `addressKey`. */
export type CounterKeys = ReadonlySet<string>;

/** The counters of a table in the kernel. */
export interface CountingTable {
  readonly family: TableFamily;
  readonly name: string;
  /** The counting sets that the table has. */
  readonly sets: readonly string[];
  /** Addresses of the node ports that are counted. */
  readonly nodePorts: NodeSettings["nodePorts"];
}

/** Finds the counters of a table that belong to no frontend, such as those removed while no proxy was running. */
export async function staleCounters(
  client: NetlinkClient,
  { family, name, sets }: CountingTable,
  plans: Iterable<ServicePortPlan>,
): Promise<CounterKeys> {
  const turns = new Turns();
  const { frontends } = await readTableCounters(client, family, name, sets, turns);
  const own = [...plans].filter((plan) => plan.family === family.family);
  return new Set((await assignCounters(frontends, () => own, turns)).unassigned);
}

/** Finds the counters of the frontends that service ports lose by the changes. */
export async function obsoleteCounters(
  client: NetlinkClient,
  { family, name, sets, nodePorts }: CountingTable,
  changes: readonly PlanChange[],
): Promise<CounterKeys> {
  const keys = new Set<string>();
  const ports = new Set<string>();
  for (const { old, new: next } of sets.length === 0 ? [] : changes) {
    if (old === undefined || next !== undefined && sameFrontends(old, next)) continue;
    const kept = new Set(next?.frontends.map((frontend) => frontendKey(next, frontend)));
    for (const frontend of old.frontends) {
      const key = frontendKey(old, frontend);
      if (kept.has(key)) continue;
      if (frontend.kind !== "NodePort") keys.add(key);
      else if (nodePorts === "all") ports.add(key);
      else for (const address of nodePorts) keys.add(address + key);
    }
  }
  if (ports.size === 0) return keys;
  // The addresses are not known here.
  const { frontends } = await readTableCounters(client, family, name, sets, new Turns());
  return keys.union(new Set([...frontends.keys()].filter((key) => ports.has(key.slice(-PORT_KEY_BYTES)))));
}

/** Deletes the counters, so that a later service port with the same frontend starts at 0. */
export function deleteCounters(
  batch: TableBatch,
  { family, sets }: Pick<CountingTable, "family" | "sets">,
  keys: CounterKeys,
): void {
  if (keys.size === 0) return;
  const specs = sets.map((set) => countingSetSpec(family, set));
  // Add first, so that the delete never fails with ENOENT.
  for (const action of ["ensure", "delete"] as const) {
    const lists = new ElementLists(batch, family, action, specs);
    for (const key of keys) {
      for (const set of sets) lists.add({ set, key, value: "", comment: "" });
    }
    lists.flush();
  }
}
