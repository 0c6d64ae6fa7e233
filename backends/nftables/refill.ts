import type { NodeSettings, ServicePortPlan } from "../../core/plan/plan.ts";
import { type TableBatch, tableUserdata } from "../nf_tables/batch.ts";
import * as nft from "../nf_tables/constants.ts";
import { type TableFamily, tableFamilyOf } from "../nf_tables/families.ts";
import { fits, sameHook, type TableSchema } from "../nf_tables/schema.ts";
import { elementId } from "../nf_tables/set/changes.ts";
import { type Element, ElementLists } from "../nf_tables/set/element.ts";
import type { SetSpec } from "../nf_tables/set/spec.ts";
import { UseCounts } from "../use_counts.ts";
import { type AffinityObjects, affinityObjects } from "./affinity.ts";
import { fixedChains } from "./chains.ts";
import { classChain } from "./classes.ts";
import { elementsOf, listSets, sharedSets } from "./compile.ts";
import { isServiceChain, TABLE } from "./names.ts";
import * as sets from "./sets.ts";
import type { TableState } from "./table_state.ts";

/** How a table is made to hold what it should, whatever it holds now. Traffic sees it before or after, never between. */
export type Refill =
  /** There is none. */
  | { readonly how: "create" }
  /** It is deleted and made anew in one transaction. */
  | { readonly how: "replace" }
  /** It is emptied and filled in place, which keeps the clients of session affinity. */
  | { readonly how: "refill"; readonly found: TableSchema };

/** Whether the table can be refilled in place: it and the chains of our names are of our kind. Upstream's are. */
export function refillOf(
  family: TableFamily,
  settings: NodeSettings,
  found: TableSchema | undefined,
): Refill {
  if (found === undefined) return { how: "create" };
  const chainsFit = fixedChains(family, settings).every(({ name, hook }) => {
    const schema = found.chains.get(name);
    return schema === undefined || schema.accepts && sameHook(schema.hook, hook);
  });
  const usable = chainsFit && found.flags === 0 && found.userdata === tableUserdata(TABLE) &&
    !found.hasOthers;
  return usable ? { how: "refill", found } : { how: "replace" };
}

/**
 * Objects of a found table that are not as they should be, in words. Service chains, classes and the set of node-port
 * addresses come and go.
 */
export function differencesOf(
  family: TableFamily,
  settings: NodeSettings,
  found: TableSchema,
): readonly string[] {
  const table = `of table ${family.keyword} kube-proxy`;
  const specs = sets.setsOf(family, false);
  const chains = fixedChains(family, settings);
  const isKnown = (chain: string) =>
    isServiceChain(chain) || classChain(family, settings, chain) !== undefined ||
    chains.some(({ name }) => name === chain);
  const isKnownSet = (set: string, flags: number) =>
    isServiceChain(set) || set === sets.NODEPORT_IPS || (flags & nft.NFT_SET_ANONYMOUS) !== 0 ||
    specs.some(({ name }) => name === set);
  return [
    ...specs.filter(({ name }) => !found.sets.has(name)).map(({ name }) =>
      `set ${name} ${table} was missing`
    ),
    ...chains.filter(({ name }) => !found.chains.has(name)).map(({ name }) =>
      `chain ${name} ${table} was missing`
    ),
    ...[...found.sets].filter(([name, { flags }]) => !isKnownSet(name, flags)).map(([name]) =>
      `set ${name} ${table} was not ours`
    ),
    ...[...found.chains.keys()].filter((name) => !isKnown(name)).map((name) =>
      `chain ${name} ${table} was not ours`
    ),
  ];
}

/**
 * Room for a batch that holds these plans, rather too much than too little: a buffer of megabytes that grows leaves
 * its former selves in memory.
 */
export function batchBytes(plans: Iterable<ServicePortPlan>): number {
  let bytes = 128 * 1024;
  for (const { family, frontends, clusterEndpoints, localEndpoints } of plans) {
    const element = 36 + 2 * tableFamilyOf(family).addressBytes + 8;
    bytes += frontends.length * (256 + (clusterEndpoints.length + localEndpoints.length) * element);
  }
  return bytes;
}

/** Writes the whole table. The state holds once the batch is committed. */
export function writeRefill(
  batch: TableBatch,
  family: TableFamily,
  settings: NodeSettings,
  plans: Iterable<ServicePortPlan>,
  refill: Refill,
): TableState {
  const state: TableState = {
    family,
    settings,
    sets: specsOf(family, settings),
    classes: new UseCounts(),
    idleClasses: new Set(),
    listed: 0,
    shared: new UseCounts(),
  };
  const ours: ServicePortPlan[] = [];
  for (const plan of plans) if (plan.family === family.family) ours.push(plan);
  const affinities = ours.filter(({ affinitySeconds }) => affinitySeconds > 0)
    .map((plan) => affinityObjects(family, settings, plan));

  batch.addTable(family);
  if (refill.how === "replace") {
    batch.deleteTable(family);
    batch.addTable(family);
  }
  if (refill.how === "refill") empty(batch, family, refill.found, affinities);

  for (const spec of state.sets) batch.addSet(family, spec);
  const fixed = fixedChains(family, settings);
  for (const chain of fixed) batch.addChain(family, chain);
  for (const chain of fixed) batch.addRules(family, chain);
  for (const affinity of affinities) writeAffinity(batch, family, affinity);
  writeElements(batch, state, ours);

  if (refill.how === "refill") {
    const wanted = new Set(state.classes.names());
    for (const { name } of fixed) wanted.add(name);
    for (const { chains } of affinities) for (const { name } of chains) wanted.add(name);
    // Only now: until their rules and the elements that go to them are gone, chains cannot be deleted.
    for (const name of refill.found.chains.keys()) if (!wanted.has(name)) batch.deleteChain(family, name);
  }
  return state;
}

/** What goes to a class chain counts as a use of it; service ports with affinity have chains of their own. */
export function isClassUse({ set, value }: Element): boolean {
  return (set === sets.SERVICE_IPS || set === sets.SERVICE_NODEPORTS) && !isServiceChain(value);
}

export function writeAffinity(
  batch: TableBatch,
  family: TableFamily,
  { sets, chains }: AffinityObjects,
): void {
  for (const spec of sets) batch.addSet(family, spec);
  for (const chain of chains) batch.addChain(family, chain);
  for (const chain of chains) batch.addRules(family, chain);
}

/** The chain of a class that comes into use. */
export function writeClass(batch: TableBatch, { family, settings }: TableState, name: string): void {
  const chain = classChain(family, settings, name);
  if (chain === undefined) throw new Error(`nftables: ${name} is no class of chains`);
  batch.addChain(family, chain);
  batch.addRules(family, chain);
}

function writeElements(batch: TableBatch, state: TableState, plans: readonly ServicePortPlan[]): void {
  const { family, settings, classes, shared } = state;
  const lists = new ElementLists(batch, family, "add", state.sets);
  if (settings.nodePorts !== "all") {
    for (const address of settings.nodePorts) {
      lists.put({ set: sets.NODEPORT_IPS, key: address, value: "", comment: "" });
    }
  }
  for (const plan of plans) {
    for (const element of elementsOf(plan)) {
      if (sharedSets.has(element.set) && shared.add(elementId(element), 1) > 1) continue;
      // The list is written later than the chain, so the chain is there when the element comes.
      const isFirstUse = isClassUse(element) && classes.add(element.value, 1) === 1;
      if (isFirstUse) writeClass(batch, state, element.value);
      if (listSets.has(element.set)) state.listed++;
      lists.put(element);
    }
  }
  lists.flush();
}

/**
 * Removes rules and sets; sets of clients that are still wanted stay. A set is deleted, and made again later, because
 * that costs the kernel half of what deleting its elements does.
 */
function empty(
  batch: TableBatch,
  family: TableFamily,
  found: TableSchema,
  affinities: readonly AffinityObjects[],
): void {
  const wanted = new Map<string, SetSpec>();
  for (const { sets } of affinities) for (const spec of sets) wanted.set(spec.name, spec);
  batch.deleteRules(family);
  for (const [name, schema] of found.sets) {
    // A rule's own map went with the rule.
    if ((schema.flags & nft.NFT_SET_ANONYMOUS) !== 0) continue;
    const clients = wanted.get(name);
    if (clients !== undefined && fits(clients, schema)) continue;
    // Kernels before 6.4 keep the chains of a deleted map's verdicts in use for a while, but not of deleted elements.
    if (schema.dataType === nft.NFT_DATA_VERDICT) batch.flushSet(family, name);
    batch.deleteSet(family, name);
  }
}

function specsOf(family: TableFamily, settings: NodeSettings): readonly SetSpec[] {
  return sets.setsOf(family, settings.nodePorts !== "all");
}

/** Whether the table still has what every table has; rules and elements are not looked at. */
export function isIntact({ family, settings, sets }: TableState, found: TableSchema | undefined): boolean {
  return found !== undefined && found.flags === 0 &&
    sets.every(({ name }) => found.sets.has(name)) &&
    fixedChains(family, settings).every(({ name }) => found.chains.has(name));
}
