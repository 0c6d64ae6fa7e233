import type { ReconcileReport } from "../../../core/backend/contract.ts";
import type { DesiredState } from "../../../core/plan/plan.ts";
import type { NetlinkClient } from "../../../ffi/netlink/client.ts";
import { MessageWriter } from "../../../ffi/netlink/writer.ts";
import type { ChangeList } from "../../change_list.ts";
import { TABLE_FAMILIES } from "../../nf_tables/families.ts";
import { RuleCounts } from "../rule_counts.ts";
import { describeChain, TABLES } from "../rules/layout.ts";
import { BatchStream, RuleBatch } from "./batch.ts";
import { TablesReader } from "./read.ts";
import { Reconciliation, type RuleContext } from "./reconcile.ts";
import { removedChains } from "./removal.ts";

/**
 * Describes what a reconcile would change: makes the same batches, and sends none.
 * @param contextOf returns the inputs of the rules of a family.
 * @returns what a reconcile would find.
 */
export async function compareTables(
  client: NetlinkClient,
  desired: DesiredState,
  contextOf: (family: DesiredState["settings"][number]) => RuleContext,
  changes: ChangeList,
): Promise<ReconcileReport["found"]> {
  await using stream = new BatchStream(
    () => new RuleBatch(new MessageWriter(), 1),
    () => Promise.resolve(),
  );
  let foundOurs = false;
  for (const family of TABLE_FAMILIES) {
    const reader = new TablesReader(client, family);
    const settings = desired.settings.find((settings) => settings.family === family.family);
    if (settings === undefined) {
      for (const removed of await describeRemoved(reader, family)) changes.remove(() => removed);
      continue;
    }
    const plans = desired.plans.values().filter((plan) => plan.family === settings.family);
    const actual = await reader.chains();
    const work = new Reconciliation(stream, family, reader, actual, () => false, new RuleCounts(), changes);
    await work.write(settings, plans, contextOf(settings));
    foundOurs ||= work.foundOurs;
  }
  return foundOurs ? "ours" : "nothing";
}

/** Describes the chains of all tables that cleanup removes, one line per table. */
export async function describeLeftovers(client: NetlinkClient): Promise<readonly string[]> {
  const lines: string[] = [];
  for (const family of TABLE_FAMILIES) {
    lines.push(...await describeRemoved(new TablesReader(client, family), family));
  }
  return lines;
}

async function describeRemoved(
  reader: TablesReader,
  family: typeof TABLE_FAMILIES[number],
): Promise<readonly string[]> {
  const actual = await reader.chains();
  const isRemoved = await removedChains(family, reader, actual);
  return TABLES.flatMap((table) => {
    const [first, ...others] = [...actual[table]].filter((chain) => isRemoved(table, chain)).sort();
    if (first === undefined) return [];
    const more = others.length === 0 ? "" : ` and ${others.length} more`;
    return [describeChain(family, { table, name: first }) + more];
  });
}
