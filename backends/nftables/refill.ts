import type { NodeSettings, ServicePortPlan } from "../../core/plan/plan.ts";
import type { TableWriter } from "../nf_tables/batch.ts";
import * as nft from "../nf_tables/constants.ts";
import { type TableFamily, tableFamilyOf } from "../nf_tables/families.ts";
import { canRefill, emptyTable } from "../nf_tables/refill.ts";
import type { TableSchema } from "../nf_tables/schema.ts";
import { elementId } from "../nf_tables/set/changes.ts";
import { type Element, ElementLists } from "../nf_tables/set/element.ts";
import type { SetSpec } from "../nf_tables/set/spec.ts";
import { namedCounters } from "../nf_tables/traffic/counting.ts";
import { UseCounts } from "../use_counts.ts";
import { type OwnObjects, ownObjects } from "./own_chains.ts";
import { fixedChains } from "./chains.ts";
import { classChain } from "./classes.ts";
import { elementsOf, ENDPOINT_MAPS, SHARED_SETS } from "./compile.ts";
import { isServiceChain, TABLE } from "./names.ts";
import * as sets from "./sets.ts";
import { hasSharedList, sharedListMaps } from "./shared_lists.ts";
import type { TableState } from "./table_state.ts";

/** How to make a table hold the desired state, in one transaction. */
export type Refill =
  /** The table does not exist. */
  | { readonly how: "create" }
  /** Delete and create it. */
  | { readonly how: "replace" }
  /** Empty and fill it in place, which keeps the clients of session affinity. */
  | { readonly how: "refill"; readonly actual: TableSchema };

/** Refills a table in place if it and its chains have our types. kube-proxy's do. */
export function chooseRefill(
  family: TableFamily,
  settings: NodeSettings,
  actual: TableSchema | undefined,
): Refill {
  if (actual === undefined) return { how: "create" };
  const objects = { chains: fixedChains(family, settings), counters: namedCounters(settings) };
  const usable = canRefill(TABLE, objects, actual);
  return usable ? { how: "refill", actual } : { how: "replace" };
}

/**
 * Describes missing and foreign chains and sets. Ignores service chains, classes and the set of node-port
 * addresses, which depend on services and settings.
 */
export function describeDifferences(
  family: TableFamily,
  settings: NodeSettings,
  actual: TableSchema,
): readonly string[] {
  const table = `of table ${family.keyword} kube-proxy`;
  const specs = sets.setsOf(family, settings, { listsNodePortIPs: false });
  const chains = fixedChains(family, settings);
  // Sets and chains of another level of --traffic-metrics are not foreign.
  const full: NodeSettings = { ...settings, trafficMetrics: "full" };
  const knownSets = sets.setsOf(family, full, { listsNodePortIPs: true });
  const knownChains = fixedChains(family, full);
  const isKnown = (chain: string) =>
    isServiceChain(chain) || classChain(family, settings, chain) !== undefined ||
    knownChains.some(({ name }) => name === chain);
  const isKnownSet = (set: string, flags: number) =>
    isServiceChain(set) || (flags & nft.NFT_SET_ANONYMOUS) !== 0 ||
    knownSets.some(({ name }) => name === set);
  return [
    ...specs.filter(({ name }) => !actual.sets.has(name)).map(({ name }) =>
      `set ${name} ${table} was missing`
    ),
    ...chains.filter(({ name }) => !actual.chains.has(name)).map(({ name }) =>
      `chain ${name} ${table} was missing`
    ),
    ...[...actual.sets].filter(([name, { flags }]) => !isKnownSet(name, flags)).map(([name]) =>
      `set ${name} ${table} was foreign`
    ),
    ...[...actual.chains.keys()].filter((name) => !isKnown(name)).map((name) =>
      `chain ${name} ${table} was foreign`
    ),
  ];
}

/**
 * Estimates the size of a batch with these plans, rather too high than too low: a growing buffer of megabytes
 * leaves its previous copies in memory.
 */
export function estimateBatchBytes(plans: Iterable<ServicePortPlan>): number {
  let bytes = 128 * 1024;
  for (const plan of plans) {
    const { family, frontends, clusterEndpoints, localEndpoints } = plan;
    const element = 36 + 2 * tableFamilyOf(family).addressBytes + 8;
    const [lists, perFrontend] = hasSharedList(plan) ? [1, 512] : [frontends.length, 256];
    bytes += frontends.length * perFrontend +
      lists * (clusterEndpoints.length + localEndpoints.length) * element;
  }
  return bytes;
}

/** Writes the whole table. @returns its state once the batch is committed. */
export function writeRefill(
  batch: TableWriter,
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
    endpoints: 0,
    shared: new UseCounts(),
    listMaps: new UseCounts(),
  };
  const own: ServicePortPlan[] = [];
  for (const plan of plans) if (plan.family === family.family) own.push(plan);
  const objects: OwnObjects[] = [];
  const specs = [...state.sets];
  for (const plan of own) {
    const object = ownObjects(family, settings, plan);
    if (object.chains.length > 0) objects.push(object);
    for (const spec of sharedListMaps(family, plan)) {
      if (state.listMaps.add(spec.name, 1) === 1) specs.push(spec);
    }
  }

  if (refill.how === "replace") batch.removeTable(family);
  batch.addTable(family);
  if (refill.how === "refill") empty(batch, state, refill.actual, objects);

  for (const spec of specs) batch.addSet(family, spec);
  for (const counter of namedCounters(settings)) batch.addCounter(family, counter);
  const fixed = fixedChains(family, settings);
  for (const chain of fixed) batch.addChain(family, chain);
  for (const chain of fixed) batch.addRules(family, chain);
  for (const own of objects) writeOwn(batch, family, own);
  writeElements(batch, state, specs, own);

  if (refill.how === "refill") {
    const desired = new Set(state.classes.names());
    for (const { name } of fixed) desired.add(name);
    for (const { chains } of objects) for (const { name } of chains) desired.add(name);
    // Last, because a chain cannot be deleted while rules or elements refer to it.
    for (const name of refill.actual.chains.keys()) if (!desired.has(name)) batch.deleteChain(family, name);
  }
  return state;
}

/** Reports whether the element goes to a class chain, not to a chain of one service port. */
export function isClassUse({ set, value }: Element): boolean {
  return (set === sets.SERVICE_IPS || set === sets.SERVICE_NODEPORTS) && !isServiceChain(value);
}

function writeOwn(batch: TableWriter, family: TableFamily, { sets, chains }: OwnObjects): void {
  for (const spec of sets) batch.addSet(family, spec);
  for (const chain of chains) batch.addChain(family, chain);
  for (const chain of chains) batch.addRules(family, chain);
}

/** Adds the chain of a class that comes into use. */
export function writeClass(batch: TableWriter, { family, settings }: TableState, name: string): void {
  const chain = classChain(family, settings, name);
  if (chain === undefined) throw new Error(`nftables: no class has the chain ${name}`);
  batch.addChain(family, chain);
  batch.addRules(family, chain);
}

function writeElements(
  batch: TableWriter,
  state: TableState,
  specs: readonly SetSpec[],
  plans: readonly ServicePortPlan[],
): void {
  const { family, settings, classes, shared } = state;
  const lists = new ElementLists(batch, family, "add", specs);
  if (settings.nodePorts !== "all") {
    for (const address of settings.nodePorts) {
      lists.add({ set: sets.NODEPORT_IPS, key: address, value: "", comment: "" });
    }
  }
  for (const plan of plans) {
    for (const element of elementsOf(plan, settings.serviceCidrs)) {
      if (SHARED_SETS.has(element.set) && shared.add(elementId(element), 1) > 1) continue;
      // The chain is written before the list of this element.
      const isFirstUse = isClassUse(element) && classes.add(element.value, 1) === 1;
      if (isFirstUse) writeClass(batch, state, element.value);
      if (ENDPOINT_MAPS.has(element.set)) state.endpoints++;
      lists.add(element);
    }
  }
  lists.flush();
}

/** Removes rules and sets, except the sets that rules fill and that are still desired. */
function empty(
  batch: TableWriter,
  { family, sets: specs }: TableState,
  actual: TableSchema,
  objects: readonly OwnObjects[],
): void {
  const kept = new Map<string, SetSpec>();
  for (const { sets } of objects) for (const spec of sets) kept.set(spec.name, spec);
  for (const spec of specs) if (spec.kind === "counting set") kept.set(spec.name, spec);
  emptyTable(batch, family, actual, kept);
}

function specsOf(family: TableFamily, settings: NodeSettings): readonly SetSpec[] {
  return sets.setsOf(family, settings, { listsNodePortIPs: settings.nodePorts !== "all" });
}

/** Reports whether the chains and sets of every table exist. Ignores rules and elements. */
export function isIntact({ family, settings, sets }: TableState, actual: TableSchema | undefined): boolean {
  return actual !== undefined && actual.flags === 0 &&
    sets.every(({ name }) => actual.sets.has(name)) &&
    fixedChains(family, settings).every(({ name }) => actual.chains.has(name));
}
