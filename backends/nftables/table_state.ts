import type { NodeSettings } from "../../core/plan/plan.ts";
import type { TableFamily } from "../nf_tables/families.ts";
import type { SetSpec } from "../nf_tables/set/spec.ts";
import type { UseCounts } from "../use_counts.ts";

/** What we must remember of a table to change it: besides the plans, which the caller has, only what they share. */
export interface TableState {
  readonly family: TableFamily;
  readonly settings: NodeSettings;
  /** The sets every service port's elements go to. */
  readonly sets: readonly SetSpec[];
  /** Class chain → verdict elements that go to it. */
  readonly classes: UseCounts;
  /** Class chains that are there though nothing goes to them now: see `keepsIdleClasses`. */
  readonly idleClasses: Set<string>;
  /** Elements of the endpoint lists. */
  listed: number;
  /** Element of a shared set → service ports that need it. */
  readonly shared: UseCounts;
}

/** From so many on, the look of the kernel at each listed endpoint costs more than 0.2 ms. */
const MANY_LISTED = 2000;
const MANY_IDLE_CLASSES = 256;

/**
 * Whether a class that falls out of use keeps its chain. To add a rule that uses a map the kernel looks at every element
 * of the map (nf_tables_bind_set): 13 ms at 100,000 endpoints, paid each time a service scales to a count that no other
 * has. So in a large table a chain stays for the next such service, until there are too many or everything is refilled.
 */
export function keepsIdleClasses(
  { listed, idleClasses }: Pick<TableState, "listed" | "idleClasses">,
): boolean {
  return listed >= MANY_LISTED && idleClasses.size < MANY_IDLE_CLASSES;
}
