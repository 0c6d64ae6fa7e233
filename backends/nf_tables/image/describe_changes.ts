import type { ChangeList } from "../../change_list.ts";
import { BackendError } from "../../../core/backend/contract.ts";
import type { NodeSettings } from "../../../core/plan/plan.ts";
import type { NetlinkClient } from "../../../ffi/netlink/client.ts";
import { UseCounts } from "../../use_counts.ts";
import type { TableBatch } from "../batch.ts";
import { TABLE_FAMILIES, type TableFamily } from "../families.ts";
import type { TableSchema } from "../schema.ts";
import { ElementValues } from "./element_values.ts";
import { findDifferences, imageOfBatch, readImage, type TableImage } from "./table_image.ts";

export interface DescribedTable {
  readonly family: TableFamily;
  readonly name: string;
  /** Renders the address or frontend of an element; undefined if it has none. */
  readonly describeElement: (family: TableFamily, set: string, key: string) => string | undefined;
}

/**
 * Describes what turns a table into another one, with each element.
 * @param actual undefined if the table does not exist. Then its chains and sets are only counted.
 */
function describeChanges(
  { family, name, describeElement }: DescribedTable,
  desired: TableImage<ElementValues>,
  actual: TableImage<ElementValues> | undefined,
  changes: ChangeList,
): void {
  const table = `table ${family.keyword} ${name}`;
  if (actual === undefined) {
    const sets = [...findDifferences(desired, NOTHING)].filter(({ of }) => of === "set");
    changes.add(() => `${table}, with ${desired.chains.size} chains and ${sets.length} sets`);
  }
  for (const difference of findDifferences(desired, actual ?? NOTHING)) {
    const { of, name, how } = difference;
    const what = `${of} ${name} of ${table}`;
    if (how === "extra") changes.remove(() => what);
    else if (how === "missing" && actual !== undefined) changes.add(() => what);
    else if (how === "different" && of === "chain") changes.change(() => `rules of ${what}`);
    if (of !== "set") continue;
    const describe = (key: string) => `${describeElement(family, name, key) ?? "an element"} in ${what}`;
    describeElements(desired.sets.get(name), actual?.sets.get(name), changes, describe);
  }
}

/**
 * Describes what turns a table in the kernel into the one that a batch creates. Sends nothing.
 * @param actual undefined if the table does not exist.
 * @throws BackendError if the table changes all the time.
 */
export async function compareTable(
  client: NetlinkClient,
  table: DescribedTable,
  batch: TableBatch,
  actual: TableSchema | undefined,
  changes: ChangeList,
): Promise<void> {
  const { family, name } = table;
  const desired = await imageOfBatch(batch.end(), family, ElementValues);
  const found = actual && await readImage(client, family, name, actual, ElementValues);
  if (actual !== undefined && found === undefined) {
    throw new BackendError(`table ${family.keyword} ${name} changes all the time: try again`);
  }
  describeChanges(table, desired, found, changes);
}

const NOTHING: TableImage<ElementValues> = { chains: new Map(), sets: new Map() };

/** Several elements may have the same description, such as the endpoints of a service. */
function describeElements(
  wanted: ElementValues | undefined,
  found: ElementValues | undefined,
  changes: ChangeList,
  describe: (key: string) => string,
): void {
  const counts = { missing: new UseCounts(), different: new UseCounts(), extra: new UseCounts() };
  for (const key of wanted?.keys() ?? []) {
    const how = wanted?.compare(key, found);
    if (how === "missing" || how === "different") counts[how].add(describe(key), 1);
  }
  for (const key of found?.keys() ?? []) {
    if (found?.compare(key, wanted) === "missing") counts.extra.add(describe(key), 1);
  }
  const each = (uses: UseCounts, note: (text: () => string) => void) => {
    for (const text of uses.names()) {
      note(() => uses.of(text) === 1 ? text : `${text} (${uses.of(text)} elements)`);
    }
  };
  each(counts.missing, (text) => changes.add(text));
  each(counts.different, (text) => changes.change(text));
  each(counts.extra, (text) => changes.remove(text));
}

/** Describes the tables with a name whose family is not in use, and which a reconcile removes. */
export function describeUnwantedTables(
  name: string,
  schemas: ReadonlyMap<number, TableSchema>,
  wanted: readonly Pick<NodeSettings, "family">[],
  changes: ChangeList,
): void {
  for (const { family, nfproto, keyword } of TABLE_FAMILIES) {
    const isUnwanted = wanted.every((settings) => settings.family !== family);
    if (isUnwanted && schemas.has(nfproto)) changes.remove(() => `table ${keyword} ${name}`);
  }
}
