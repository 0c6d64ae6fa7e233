import type { Table, TableWriter } from "../batch.ts";
import type { TableFamily } from "../families.ts";
import type { DescribeElement } from "../rejection.ts";
import { canRefill, emptyTable } from "../refill.ts";
import type { Chain } from "../rules.ts";
import type { TableSchema } from "../schema.ts";
import { type Element, ElementLists } from "../set/element.ts";
import type { SetSpec } from "../set/spec.ts";

/**
 * A table whose chains and sets depend on the settings of the node only. Services are elements of its sets, so that
 * an update adds and deletes elements and nothing else.
 */
export interface FixedTable<Settings> {
  /** Value of --proxy-mode. */
  readonly mode: string;
  readonly table: Table;
  /** The sets, in the order they are listed. */
  setsOf(family: TableFamily, settings: Settings): readonly SetSpec[];
  /** The chains. Each comes before the chains that jump to it. */
  chainsOf(family: TableFamily, settings: Settings): readonly Chain[];
  /** Names of the counters. */
  countersOf(settings: Settings): readonly string[];
  readonly describeElement: DescribeElement;
}

/** The contents of one table. */
export interface TableContents<Settings> {
  readonly family: TableFamily;
  readonly settings: Settings;
  /** Without duplicates. */
  readonly elements: Iterable<Element>;
}

/**
 * Writes the whole table, in place of an existing one.
 * @param actual the existing table, whose counters stay if it is like the new one; undefined if they are not to.
 */
export function writeTable<Settings>(
  definition: FixedTable<Settings>,
  batch: TableWriter,
  { family, settings, elements }: TableContents<Settings>,
  actual?: TableSchema,
): void {
  const { table } = definition;
  const specs = definition.setsOf(family, settings);
  const chains = definition.chainsOf(family, settings);
  const counters = definition.countersOf(settings);
  const counting = specs.filter(({ kind }) => kind === "counting set");
  const canKeep = actual !== undefined && counting.length > 0 &&
    canRefill(table, { chains, counters }, actual);
  const kept = canKeep ? actual : undefined;
  if (kept === undefined) batch.removeTable(family);
  batch.addTable(family);
  if (kept !== undefined) {
    emptyTable(batch, family, kept, new Map(counting.map((spec) => [spec.name, spec])));
  }
  for (const spec of specs) batch.addSet(family, spec);
  for (const counter of counters) batch.addCounter(family, counter);
  for (const chain of chains) batch.addChain(family, chain);
  for (const chain of chains) batch.addRules(family, chain);
  writeElements(batch, family, "add", specs, elements);
  // Last, because a chain cannot be deleted while rules or elements refer to it.
  const desired = new Set(chains.map(({ name }) => name));
  for (const name of kept?.chains.keys() ?? []) if (!desired.has(name)) batch.deleteChain(family, name);
}

/** @param elements that do not exist yet to add, or that exist to delete. */
export function writeElements(
  batch: TableWriter,
  family: TableFamily,
  action: "add" | "delete",
  specs: readonly SetSpec[],
  elements: Iterable<Element>,
): void {
  const lists = new ElementLists(batch, family, action, specs);
  for (const element of elements) lists.add(element);
  lists.flush();
}
