import type { PlanKey } from "../../../core/plan/plan.ts";
import type { TableFamily } from "../../nf_tables/families.ts";
import type { SharedChain } from "../rules/layout.ts";
import type { IptablesRule } from "../rules/rule.ts";
import type { RuleBatch } from "./batch.ts";
import type { ActualRule, RuleListing } from "./read.ts";

/** Changes of single rules of a shared chain, each with the service port that it belongs to. */
export interface SharedChange {
  /** Rules to add at the head of the chain, in this order. */
  readonly added: readonly { readonly rule: IptablesRule; readonly owner: PlanKey | undefined }[];
  /** Handles of the rules to delete. */
  readonly deleted: ReadonlyMap<number, PlanKey | undefined>;
}

/**
 * Writes a change of a shared chain. Few rules are deleted by their handles. If that takes the kernel longer
 * than to write the chain again, the chain is flushed, and the rules that stay are added again as they were
 * listed: in their order, with their counters, foreign rules included.
 * An incomplete listing is not used for that, because rules that it lacks would be lost.
 * @param actual the rules of the chain; may be empty if none is to be deleted.
 */
export function writeSharedChange(
  batch: RuleBatch,
  family: TableFamily,
  { table, name }: SharedChain,
  actual: RuleListing,
  { added, deleted }: SharedChange,
): void {
  if (actual.isComplete && batch.mayRestore && isRewritten(actual.rules, deleted)) {
    batch.setOwner(undefined);
    // A flush would also delete rules that the same batch added before.
    batch.flushChain(family, table, name);
    for (const { rule, owner } of added) {
      batch.setOwner(owner);
      batch.appendRule(family, table, name, rule);
    }
    batch.setOwner(undefined);
    batch.restoreRules(family, table, name, actual.rules.filter(({ handle }) => !deleted.has(handle)));
    return;
  }
  // Deletions first, because the kernel would also pass the new rules when it searches.
  for (const [handle, owner] of deleted) {
    batch.setOwner(owner);
    batch.deleteRule(family, table, name, handle);
  }
  for (const { rule, owner } of added.toReversed()) {
    batch.setOwner(owner);
    batch.insertRule(family, table, name, rule);
  }
}

/** Deletions that pass fewer rules than this are always made by handle. They take the kernel 0.04 s. */
const MIN_PASSED_RULES = 2_000_000;
/**
 * The kernel passes about this many rules in the time that it takes to replace one. Replacing takes 20-30 µs,
 * passing 20 ns in a chain of 20,000 rules and 130 ns in one of 80,000, which no longer fits into the caches.
 */
const PASSED_PER_REPLACED_RULE = 200;

/**
 * Decides between the two ways by the work of the kernel. It searches the rule of each handle from the head of
 * the chain, also past rules that the same batch has deleted (`__nft_rule_lookup`).
 */
function isRewritten(
  actual: readonly ActualRule[],
  deleted: ReadonlyMap<number, PlanKey | undefined>,
): boolean {
  let passed = 0;
  for (const [position, { handle }] of actual.entries()) if (deleted.has(handle)) passed += position + 1;
  const staying = actual.length - deleted.size;
  return passed > MIN_PASSED_RULES && passed > staying * PASSED_PER_REPLACED_RULE;
}
