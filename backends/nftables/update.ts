import type { PlanChange } from "../../core/backend/contract.ts";
import type { TableBatch } from "../nf_tables/batch.ts";
import { diffElements } from "../nf_tables/set/changes.ts";
import { type Element, ElementLists } from "../nf_tables/set/element.ts";
import { type AffinityObjects, affinityObjects } from "./affinity.ts";
import { elementsOf, listSets, sharedSets } from "./compile.ts";
import { isClassUse, writeAffinity, writeClass } from "./refill.ts";
import { keepsIdleClasses, type TableState } from "./table_state.ts";

/**
 * Writes what the changes make different in one table, and nothing when they make no difference.
 * @returns what to do once the batch is committed.
 */
export function writeUpdate(
  batch: TableBatch,
  state: TableState,
  changes: readonly PlanChange[],
): () => void {
  const { family, settings } = state;
  const { removed, added, uses } = diffElements(changes, elementsOf, sharedSets, (id) => state.shared.of(id));
  const classUses = classUsesOf(removed, added);

  // Deletions first: a key that gets another value is deleted and added, and chains in use cannot be deleted.
  const deletions = new ElementLists(batch, family, "delete", state.sets);
  for (const element of removed) deletions.put(element);
  deletions.flush();
  const affinities = changes.map((change) => ({
    old: change.old === undefined ? undefined : affinityObjects(family, settings, change.old),
    new: change.new === undefined ? undefined : affinityObjects(family, settings, change.new),
  }));
  for (const affinity of affinities) deleteAffinity(batch, state, affinity.old, affinity.new);
  const idleClasses = idleAfter(state, classUses);
  const listed = state.listed + listedIn(added) - listedIn(removed);
  const keptClasses = keepsIdleClasses({ listed, idleClasses }) ? idleClasses : new Set<string>();
  for (const name of idleClasses) if (!keptClasses.has(name)) batch.deleteChain(family, name);

  for (const [name, change] of classUses) {
    if (state.classes.of(name) > 0 || change <= 0 || state.idleClasses.has(name)) continue;
    writeClass(batch, state, name);
  }
  for (const affinity of affinities) {
    if (affinity.new !== undefined) writeAffinity(batch, family, affinity.new);
  }
  const additions = new ElementLists(batch, family, "add", state.sets);
  for (const element of added) additions.put(element);
  additions.flush();

  return () => {
    state.classes.addAll(classUses);
    state.idleClasses.clear();
    for (const name of keptClasses) state.idleClasses.add(name);
    state.listed = listed;
    state.shared.addAll(uses);
  };
}

/** Class chains that are there and that nothing goes to any more once the uses have changed. */
function idleAfter({ classes, idleClasses }: TableState, changes: ReadonlyMap<string, number>): Set<string> {
  const idle = new Set(idleClasses);
  for (const [name, change] of changes) {
    const now = classes.of(name);
    if (now + change > 0) idle.delete(name);
    else if (now > 0) idle.add(name);
  }
  return idle;
}

function listedIn(elements: readonly Element[]): number {
  return elements.reduce((count, { set }) => listSets.has(set) ? count + 1 : count, 0);
}

function classUsesOf(removed: readonly Element[], added: readonly Element[]): Map<string, number> {
  const uses = new Map<string, number>();
  const count = (element: Element, change: number) => {
    if (!isClassUse(element)) return;
    uses.set(element.value, (uses.get(element.value) ?? 0) + change);
  };
  for (const element of removed) count(element, -1);
  for (const element of added) count(element, 1);
  return uses;
}

/**
 * Chains that stay are emptied, to be filled again; sets that stay keep the clients in them. A set whose timeout
 * changed does not stay: the kernel cannot change it.
 */
function deleteAffinity(
  batch: TableBatch,
  { family }: TableState,
  old: AffinityObjects | undefined,
  next: AffinityObjects | undefined,
): void {
  if (old === undefined) return;
  // All rules first, for chains go to each other and use the sets.
  for (const { name } of old.chains) batch.deleteRules(family, name);
  const chains = new Set(next?.chains.map(({ name }) => name));
  for (const { name } of old.chains) if (!chains.has(name)) batch.deleteChain(family, name);
  const sets = new Map(next?.sets.map((spec) => [spec.name, spec.timeoutSeconds]));
  for (const { name, timeoutSeconds } of old.sets) {
    if (sets.get(name) !== timeoutSeconds) batch.deleteSet(family, name);
  }
}
