import type { Table, TableWriter } from "../batch.ts";
import type { TableFamily } from "../families.ts";
import type { DescribeElement } from "../rejection.ts";
import type { Chain } from "../rules.ts";
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

/** Writes the whole table, in place of an existing one. */
export function writeTable<Settings>(
  definition: FixedTable<Settings>,
  batch: TableWriter,
  { family, settings, elements }: TableContents<Settings>,
): void {
  batch.removeTable(family);
  batch.addTable(family);
  const specs = definition.setsOf(family, settings);
  for (const spec of specs) batch.addSet(family, spec);
  for (const counter of definition.countersOf(settings)) batch.addCounter(family, counter);
  const chains = definition.chainsOf(family, settings);
  for (const chain of chains) batch.addChain(family, chain);
  for (const chain of chains) batch.addRules(family, chain);
  writeElements(batch, family, "add", specs, elements);
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
