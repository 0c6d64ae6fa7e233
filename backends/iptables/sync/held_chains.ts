import type { TableFamily } from "../../nf_tables/families.ts";
import { BUILT_IN_CHAINS, describeChain, type SharedChain, TABLES } from "../rules/layout.ts";
import { isInnerChain } from "../rules/names.ts";
import { jumpTargetOf } from "../wire/decode.ts";
import type { ActualChains, TablesReader } from "./read.ts";
import { type IsRemoved, removedChains } from "./removal.ts";

/** A chain that cleanup cannot delete, because rules in foreign chains jump to it. */
export interface HeldChain extends SharedChain {
  readonly family: TableFamily;
  /** The foreign chains. Empty if something else refers to the chain. */
  readonly users: readonly string[];
}

/** Finds the chains that cleanup would remove and that foreign rules jump to. */
export async function heldChains(
  family: TableFamily,
  reader: TablesReader,
  actual: ActualChains,
): Promise<readonly HeldChain[]> {
  const isRemoved = await removedChains(family, reader, actual);
  const held: HeldChain[] = [];
  for (const table of TABLES) {
    if (![...actual[table]].some((chain) => isRemoved(table, chain))) continue;
    const users = new Map<string, Set<string>>();
    for (const from of actual[table]) {
      if (isRemoved(table, from)) continue;
      const isBuiltIn = BUILT_IN_CHAINS.includes(from);
      for (const { expressions } of await reader.rules(table, from)) {
        const target = jumpTargetOf(expressions);
        if (target === undefined || !isRemoved(table, target) || isBuiltIn && !isInnerChain(target)) continue;
        users.set(target, (users.get(target) ?? new Set()).add(from));
      }
    }
    for (const [name, chains] of users) held.push({ family, table, name, users: [...chains].sort() });
  }
  return held;
}

/** The chains that are still there after a cleanup, in place of those that were known to be held before it. */
export function remainingChains(
  family: TableFamily,
  actual: ActualChains,
  isRemoved: IsRemoved,
  held: readonly HeldChain[],
): readonly HeldChain[] {
  return TABLES.flatMap((table) =>
    [...actual[table]].filter((name) => isRemoved(table, name)).map((name) =>
      held.find((one) => one.family === family && one.table === table && one.name === name) ??
        { family, table, name, users: [] }
    )
  );
}

/** Number of foreign chains that a message names. */
const MAX_USERS = 4;

/** `chain KUBE-MARK-MASQ of table ip nat, to which rules of the chains KUBE-HP-A and KUBE-HP-B jump` */
export function describeHeld({ family, users, ...chain }: HeldChain): string {
  const [first, ...others] = users.slice(0, MAX_USERS);
  const rest = users.length - MAX_USERS;
  if (first === undefined) return `${describeChain(family, chain)}, to which foreign rules refer`;
  const more = rest > 0 ? [...others, `${rest} more`] : others;
  const last = more.pop();
  const chains = last === undefined
    ? `chain ${first}`
    : `the chains ${[first, ...more].join(", ")} and ${last}`;
  return `${describeChain(family, chain)}, to which rules of ${chains} jump`;
}
