import { sameSettings } from "../../core/plan/node_settings.ts";
import type { NodeSettings, ServicePortPlan } from "../../core/plan/plan.ts";
import type { NetlinkClient } from "../../ffi/netlink/client.ts";
import { MessageWriter } from "../../ffi/netlink/writer.ts";
import type { ChangeList } from "../change_list.ts";
import type { TableFamily } from "../nf_tables/families.ts";
import { TableBatch } from "../nf_tables/batch.ts";
import { compareTable as compareInKernel } from "../nf_tables/image/describe_changes.ts";
import { ElementsDigest } from "../nf_tables/image/elements_digest.ts";
import {
  describeDifference,
  findDifferences,
  imageOfBatch,
  readImage,
} from "../nf_tables/image/table_image.ts";
import { sameHook, type TableSchema } from "../nf_tables/schema.ts";
import { fixedChains } from "./chains.ts";
import { TABLE } from "./names.ts";
import { chooseRefill, describeDifferences, estimateBatchBytes, writeClass, writeRefill } from "./refill.ts";
import { describeElement } from "./rejection.ts";
import type { TableState } from "./table_state.ts";

/**
 * A table with more endpoints is refilled without a comparison. The time that the kernel takes to list a map grows with
 * the square of its elements: 33 ms for 30,000, and 3.4 s for 300,000, which a refill takes 0.6 s to write.
 */
const MAX_ENDPOINTS = 100_000;

export interface TableComparison {
  /** Descriptions of chains and sets that differ; none if the table is as desired. */
  readonly differences: readonly string[];
  /** The state of the table as desired. */
  readonly state: TableState;
}

/**
 * Compares a table in the kernel with what a refill would write, without writing anything. A false difference, as
 * when another kernel lists a rule in another way, costs no more than a refill.
 * @param before the state in force.
 * @returns undefined if the table cannot be compared, and has to be refilled.
 */
export async function compareTable(
  client: NetlinkClient,
  before: TableState,
  settings: NodeSettings,
  actual: TableSchema,
  plans: Iterable<ServicePortPlan>,
): Promise<TableComparison | undefined> {
  const { family } = before;
  if (before.endpoints > MAX_ENDPOINTS) return undefined;
  if (!sameSettings(before.settings, settings) || !hasOurSchema(before, actual)) return undefined;
  const own = [...plans].filter((plan) => plan.family === family.family);
  const message = new MessageWriter(estimateBatchBytes(own));
  const batch = new TableBatch(TABLE, message, 1);
  const state = writeRefill(batch, family, settings, own, { how: "create" });
  for (const name of before.idleClasses) {
    if (state.classes.of(name) > 0) continue;
    writeClass(batch, state, name);
    state.idleClasses.add(name);
  }
  const expected = await imageOfBatch(batch.end(), family, ElementsDigest);
  const found = await readImage(client, family, TABLE.name, actual, ElementsDigest);
  if (found === undefined) return undefined;
  const differences = [...findDifferences(expected, found)]
    // Foreign sets are among those of describeDifferences.
    .filter(({ of, how }) => !(of === "set" && how === "extra"))
    .map((difference) => `${describeDifference(difference)} of table ${family.keyword} kube-proxy differed`);
  return { differences: [...describeDifferences(family, settings, actual), ...differences], state };
}

/**
 * Describes what a reconcile would change in a table, without writing anything.
 * @param actual undefined if the table does not exist.
 * @throws BackendError if the table changes all the time.
 */
export async function describeTableChanges(
  client: NetlinkClient,
  family: TableFamily,
  settings: NodeSettings,
  actual: TableSchema | undefined,
  plans: readonly ServicePortPlan[],
  changes: ChangeList,
): Promise<void> {
  const message = new MessageWriter(estimateBatchBytes(plans));
  const batch = new TableBatch(TABLE, message, 1);
  writeRefill(batch, family, settings, plans, { how: "create" });
  if (chooseRefill(family, settings, actual).how === "replace") {
    const why = "replaced as a whole, because it or one of its chains has another type";
    changes.change(() => `table ${family.keyword} ${TABLE.name}: ${why}`);
  }
  await compareInKernel(client, { family, name: TABLE.name, describeElement }, batch, actual, changes);
}

/** Reports whether the table and its chains have our types, which a refill does not change. */
function hasOurSchema({ family, settings }: TableState, actual: TableSchema): boolean {
  if (chooseRefill(family, settings, actual).how !== "refill") return false;
  const hooks = new Map(fixedChains(family, settings).map(({ name, hook }) => [name, hook]));
  return [...actual.chains].every(([name, chain]) => chain.accepts && sameHook(chain.hook, hooks.get(name)));
}
