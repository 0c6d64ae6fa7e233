import type { PlanChange } from "../../core/backend/contract.ts";
import type { ServicePortPlan } from "../../core/plan/plan.ts";
import { type Difference, difference, type SetDifference } from "../difference.ts";
import { UseChanges } from "../use_counts.ts";
import type { TableBatch } from "../nf_tables/batch.ts";
import type { TableFamily } from "../nf_tables/families.ts";
import { diffElements } from "../nf_tables/set/changes.ts";
import { type Element, ElementLists } from "../nf_tables/set/element.ts";
import type { SetSpec } from "../nf_tables/set/spec.ts";
import { elementsOf, ENDPOINT_MAPS, SHARED_SETS } from "./compile.ts";
import { type OwnChain, type OwnObjects, ownObjects } from "./own_chains.ts";
import { isClassUse, writeClass } from "./refill.ts";
import { haveSameAddressElements, sharedListMaps } from "./shared_lists.ts";
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
    changes.map(sidesOf),
    ({ plan, parts }) => elementsOf(plan, settings.serviceCidrs, parts),
    SHARED_SETS,
    (id) => state.shared.of(id),
  );
  const classUses = classUsesOf(removed, added);
  const mapUses = new UseChanges<SetSpec>();
  for (const { old, new: next } of changes) {
    for (const spec of old === undefined ? [] : sharedListMaps(family, old)) mapUses.use(spec.name, spec, -1);
    for (const spec of next === undefined ? [] : sharedListMaps(family, next)) {
      mapUses.use(spec.name, spec, 1);
    }
  }
  const maps = mapUses.difference((name) => state.listMaps.of(name));
  const specs = [...state.sets, ...mapUses.things()];

  // Deletions first: an element with a new value is deleted and added, and a chain in use cannot be deleted.
  const deletions = new ElementLists(batch, family, "delete", specs);
  for (const element of removed) deletions.add(element);
  deletions.flush();
  const objectsOf = (plan: ServicePortPlan | undefined) =>
    plan === undefined ? NO_OBJECTS : ownObjects(family, settings, plan);
  const ownChanges = changes.map((change) => ownDifference(objectsOf(change.old), objectsOf(change.new)));
  for (const own of ownChanges) deleteOwn(batch, family, own);
  for (const { name } of maps.removed) batch.deleteSet(family, name);
  const idleClasses = idleAfter(state, classUses);
  const endpoints = state.endpoints + countEndpoints(added) - countEndpoints(removed);
  const keptClasses = keepsIdleClasses({ endpoints, idleClasses }) ? idleClasses : new Set<string>();
  for (const name of idleClasses) if (!keptClasses.has(name)) batch.deleteChain(family, name);

  for (const [name, change] of classUses) {
    if (state.classes.of(name) > 0 || change <= 0 || state.idleClasses.has(name)) continue;
    writeClass(batch, state, name);
  }
  for (const spec of maps.added) batch.addSet(family, spec);
  for (const own of ownChanges) addOwn(batch, family, own);
  const additions = new ElementLists(batch, family, "add", specs);
  for (const element of added) additions.add(element);
  additions.flush();

  return () => {
    state.classes.addAll(classUses);
    state.idleClasses.clear();
    for (const name of keptClasses) state.idleClasses.add(name);
    state.endpoints = endpoints;
    state.shared.addAll(uses);
    state.listMaps.addAll(mapUses);
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

const NO_OBJECTS: OwnObjects = { sets: [], chains: [] };

/** Both sides of a change, without the elements that stay the same. */
function sidesOf({ old, new: next }: PlanChange) {
  const sharingAddresses = old === undefined || next === undefined || !haveSameAddressElements(old, next);
  const side = (plan: ServicePortPlan | undefined) => plan && { plan, parts: { sharingAddresses } };
  return { old: side(old), new: side(next) };
}

/** Changes of the chains and sets of one service port. */
interface OwnDifference {
  readonly sets: SetDifference<SetSpec>;
  readonly chains: Difference<OwnChain>;
}

/** The kernel cannot change the timeout of a set, so one with another timeout is deleted and added. */
function ownDifference(old: OwnObjects, next: OwnObjects): OwnDifference {
  return {
    sets: difference(next.sets, old.sets, ({ name, timeoutSeconds }) => `${timeoutSeconds} ${name}`),
    chains: difference(next.chains, old.chains, ({ name }) => name, (a, b) => a.contents === b.contents),
  };
}

/** Deletes obsolete chains and sets, and the rules of changed chains. Other chains and sets keep theirs. */
function deleteOwn(batch: TableBatch, family: TableFamily, { sets, chains }: OwnDifference): void {
  // All rules first, because chains go to each other and use the sets.
  for (const { actual } of chains.changed) batch.deleteRules(family, actual.name);
  for (const { name } of chains.removed) batch.deleteRules(family, name);
  for (const { name } of chains.removed) batch.deleteChain(family, name);
  for (const { name } of sets.removed) batch.deleteSet(family, name);
}

function addOwn(batch: TableBatch, family: TableFamily, { sets, chains }: OwnDifference): void {
  for (const spec of sets.added) batch.addSet(family, spec);
  for (const chain of chains.added) batch.addChain(family, chain);
  for (const chain of chains.added) batch.addRules(family, chain);
  for (const { desired } of chains.changed) batch.addRules(family, desired);
}
