import type { PlanChange } from "../../core/backend/contract.ts";
import type { TableBatch } from "../nf_tables/batch.ts";
import { diffElements } from "../nf_tables/set/changes.ts";
import { type Element, ElementLists } from "../nf_tables/set/element.ts";
import { type AffinityObjects, affinityObjects } from "./affinity.ts";
import { elementsOf, ENDPOINT_MAPS, SHARED_SETS } from "./compile.ts";
import { isClassUse, writeAffinity, writeClass } from "./refill.ts";
import { keepsIdleClasses, type TableState } from "./table_state.ts";

/**
 * Writes the difference that the changes make in one table.
 * @returns updates the state; to be called once the batch is committed.
 */
export function writeUpdate(
  batch: TableBatch,
  state: TableState,
  changes: readonly PlanChange[],
): () => void {
  const { family, settings } = state;
  const { removed, added, uses } = diffElements(
    changes,
    elementsOf,
    SHARED_SETS,
    (id) => state.shared.of(id),
  );
  const classUses = classUsesOf(removed, added);

  // Deletions first: an element with a new value is deleted and added, and a chain in use cannot be deleted.
  const deletions = new ElementLists(batch, family, "delete", state.sets);
  for (const element of removed) deletions.add(element);
  deletions.flush();
  const affinities = changes.map((change) => ({
    old: change.old === undefined ? undefined : affinityObjects(family, settings, change.old),
    new: change.new === undefined ? undefined : affinityObjects(family, settings, change.new),
  }));
  for (const affinity of affinities) deleteAffinity(batch, state, affinity.old, affinity.new);
  const idleClasses = idleAfter(state, classUses);
  const endpoints = state.endpoints + countEndpoints(added) - countEndpoints(removed);
  const keptClasses = keepsIdleClasses({ endpoints, idleClasses }) ? idleClasses : new Set<string>();
  for (const name of idleClasses) if (!keptClasses.has(name)) batch.deleteChain(family, name);

  for (const [name, change] of classUses) {
    if (state.classes.of(name) > 0 || change <= 0 || state.idleClasses.has(name)) continue;
    writeClass(batch, state, name);
  }
  for (const affinity of affinities) {
    if (affinity.new !== undefined) writeAffinity(batch, family, affinity.new);
  }
  const additions = new ElementLists(batch, family, "add", state.sets);
  for (const element of added) additions.add(element);
  additions.flush();

  return () => {
    state.classes.addAll(classUses);
    state.idleClasses.clear();
    for (const name of keptClasses) state.idleClasses.add(name);
    state.endpoints = endpoints;
    state.shared.addAll(uses);
  };
}

/** The class chains without uses after the changes. */
function idleAfter({ classes, idleClasses }: TableState, changes: ReadonlyMap<string, number>): Set<string> {
  const idle = new Set(idleClasses);
  for (const [name, change] of changes) {
    const now = classes.of(name);
    if (now + change > 0) idle.delete(name);
    else if (now > 0) idle.add(name);
  }
  return idle;
}

function countEndpoints(elements: readonly Element[]): number {
  return elements.reduce((count, { set }) => ENDPOINT_MAPS.has(set) ? count + 1 : count, 0);
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
 * Deletes what `next` does not have. Flushes the other chains, because they are written again. The other sets
 * keep their clients, except when the timeout changes: the kernel cannot change it, so the set is deleted.
 */
function deleteAffinity(
  batch: TableBatch,
  { family }: TableState,
  old: AffinityObjects | undefined,
  next: AffinityObjects | undefined,
): void {
  if (old === undefined) return;
  // All rules first, because chains go to each other and use the sets.
  for (const { name } of old.chains) batch.deleteRules(family, name);
  const chains = new Set(next?.chains.map(({ name }) => name));
  for (const { name } of old.chains) if (!chains.has(name)) batch.deleteChain(family, name);
  const sets = new Map(next?.sets.map((spec) => [spec.name, spec.timeoutSeconds]));
  for (const { name, timeoutSeconds } of old.sets) {
    if (sets.get(name) !== timeoutSeconds) batch.deleteSet(family, name);
  }
}
