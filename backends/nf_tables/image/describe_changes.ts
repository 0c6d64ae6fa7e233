import type { ChangeList } from "../../change_list.ts";
import { BackendError } from "../../../core/backend/contract.ts";
import type { NetlinkClient } from "../../../ffi/netlink/client.ts";
import type { TableBatch } from "../batch.ts";
import type { TableFamily } from "../families.ts";
import type { TableSchema } from "../schema.ts";
import { ElementValues } from "./element_values.ts";
import { type Difference, findDifferences, imageOfBatch, readImage, type TableImage } from "./table_image.ts";

export interface DescribedTable {
  readonly family: TableFamily;
  readonly name: string;
  /** Renders the address or frontend of an element; undefined if it has none. */
  readonly describeElement: (family: TableFamily, set: string, key: string) => string | undefined;
}

/**
 * Describes what turns a table into another one, with each element.
 * @param actual undefined if the table does not exist.
 */
function describeChanges(
  { family, name, describeElement }: DescribedTable,
  desired: TableImage<ElementValues>,
  actual: TableImage<ElementValues> | undefined,
  changes: ChangeList,
): void {
  const table = `table ${family.keyword} ${name}`;
  if (actual === undefined) changes.add(() => table);
  const element = (set: string, key: string) =>
    `${describeElement(family, set, key) ?? "an element"} in set ${set} of ${table}`;
  for (const difference of findDifferences(desired, actual ?? NOTHING)) {
    const what = `${difference.of} ${difference.name} of ${table}`;
    if (difference.how !== "different") note(changes, difference.how, () => what);
    else if (difference.of === "chain") changes.change(() => `rules of ${what}`);
    if (difference.of === "set") describeElements(difference, desired, actual, changes, element);
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

function describeElements(
  { name }: Difference,
  desired: TableImage<ElementValues>,
  actual: TableImage<ElementValues> | undefined,
  changes: ChangeList,
  describe: (set: string, key: string) => string,
): void {
  const [wanted, found] = [desired.sets.get(name), actual?.sets.get(name)];
  for (const key of wanted?.keys() ?? []) {
    const how = wanted?.compare(key, found);
    if (how === "missing") changes.add(() => describe(name, key));
    else if (how === "different") changes.change(() => describe(name, key));
  }
  for (const key of found?.keys() ?? []) {
    if (found?.compare(key, wanted) === "missing") changes.remove(() => describe(name, key));
  }
}

function note(changes: ChangeList, how: "missing" | "extra", describe: () => string): void {
  if (how === "missing") changes.add(describe);
  else changes.remove(describe);
}
