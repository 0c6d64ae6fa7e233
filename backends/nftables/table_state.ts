import type { NodeSettings } from "../../core/plan/plan.ts";
import type { TableFamily } from "../nf_tables/families.ts";
import type { SetSpec } from "../nf_tables/set/spec.ts";
import type { UseCounts } from "../use_counts.ts";

/** State in force of a table beyond the plans, which the caller has: the objects that plans share. */
export interface TableState {
  readonly family: TableFamily;
  readonly settings: NodeSettings;
  /** The sets of every table. */
  readonly sets: readonly SetSpec[];
  /** Verdict elements per class chain. */
  readonly classes: UseCounts;
  /** Class chains that no element uses: see `keepsIdleClasses`. */
  readonly idleClasses: Set<string>;
  /** Number of elements in the endpoint maps. */
  endpoints: number;
  /** Service ports per element of a shared set, by elementId. */
  readonly shared: UseCounts;
  /** Service ports per map of a service with shared lists, by name. */
  readonly listMaps: UseCounts;
}

/** From this number of endpoints on, adding a class chain costs more than 0.2 ms. */
const MIN_ENDPOINTS = 2000;
const MAX_IDLE_CLASSES = 256;

/**
 * Reports whether a class that falls out of use keeps its chain. When a rule that uses a map is added, the
 * kernel visits every element of the map (nf_tables_bind_set): 13 ms with 100,000 endpoints, each time a
 * service scales to a count that no other service has. In a large table a chain therefore stays for the next
 * such service, until there are too many of them or the table is refilled.
 */
export function keepsIdleClasses(
  { endpoints, idleClasses }: Pick<TableState, "endpoints" | "idleClasses">,
): boolean {
  return endpoints >= MIN_ENDPOINTS && idleClasses.size < MAX_IDLE_CLASSES;
}
