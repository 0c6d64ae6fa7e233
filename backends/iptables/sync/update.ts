import type { PlanChange } from "../../../core/backend/contract.ts";
import type { PlanKey, ServicePortPlan } from "../../../core/plan/plan.ts";
import { compare } from "../../difference.ts";
import type { TableFamily } from "../../nf_tables/families.ts";
import { RuleCounts } from "../rule_counts.ts";
import { compile, compileChains, type CompileContext, haveSameSharedRules } from "../rules/compile.ts";
import { describeChain, type IptablesChain, type ServiceRules, type SharedRule } from "../rules/layout.ts";
import { sameRule, sameRules } from "../rules/rule.ts";
import { actualIdentity, ruleIdentity } from "../wire/identity.ts";
import type { RuleBatch } from "./batch.ts";
import type { ActualRule, RuleListing, TablesReader } from "./read.ts";
import { deleteChains, type IsUndeletable } from "./removal.ts";
import { writeSharedChange } from "./shared_change.ts";

/** The rules of one service port before and after a plan change. */
interface RulesChange {
  readonly key: PlanKey;
  readonly old: ServiceRules;
  readonly new: ServiceRules;
}

export interface Update {
  /** Descriptions of rules that were to be deleted and are missing already, because of a foreign change. */
  readonly drift: readonly string[];
  /** The change of the numbers of rules. */
  readonly growth: RuleCounts;
}

const NO_RULES: ServiceRules = { chains: [], shared: [] };
const NOT_READ: RuleListing = { rules: [], isComplete: false };

/** Writes the difference of plan changes: changed chains as a whole, and the changed rules of shared chains. */
export async function writeUpdate(
  batch: RuleBatch,
  family: TableFamily,
  changes: readonly PlanChange[],
  context: CompileContext,
  reader: TablesReader,
  isUndeletable: IsUndeletable,
): Promise<Update> {
  const growth = new RuleCounts();
  const rulesChanges = changes.map(({ key, old, new: next }) => {
    const changesShared = old === undefined || next === undefined || !haveSameSharedRules(old, next);
    const rulesOf = (plan: ServicePortPlan | undefined) =>
      plan === undefined ? NO_RULES : (changesShared ? compile : compileChains)(plan, context);
    return { key, old: rulesOf(old), new: rulesOf(next) };
  });
  for (const change of rulesChanges) {
    growth.addService(change.old, -1);
    growth.addService(change.new);
  }
  const obsolete = rulesChanges.map((change) => writeChains(batch, family, change));
  const drift = await writeShared(batch, family, rulesChanges, reader);
  for (const [index, { key }] of rulesChanges.entries()) {
    batch.setOwner(key);
    const chains = obsolete[index] ?? [];
    if (chains.length > 0) deleteChains(batch, family, "nat", chains, isUndeletable);
  }
  return { drift, growth };
}

/** The endpoints of a plan that count for the large-cluster mode: docs/behaviour.md §5.1. */
export function endpointCount({ clusterEndpoints, localEndpoints }: ServicePortPlan): number {
  return Math.max(clusterEndpoints.length, localEndpoints.length);
}

/**
 * Writes new and changed chains in their order, so that a chain exists before a rule jumps to it.
 * @returns the names of obsolete chains.
 */
function writeChains(batch: RuleBatch, family: TableFamily, change: RulesChange): readonly string[] {
  batch.setOwner(change.key);
  const obsolete: string[] = [];
  const appendRules = ({ table, name, rules }: IptablesChain) => {
    for (const rule of rules) batch.appendRule(family, table, name, rule);
  };
  compare(change.new.chains, change.old.chains, ({ name }) => name, {
    added: (chain) => {
      batch.addChain(family, chain.table, chain.name);
      appendRules(chain);
    },
    matched: (chain, old) => {
      if (sameRules(old.rules, chain.rules)) return;
      batch.flushChain(family, chain.table, chain.name);
      appendRules(chain);
    },
    removed: ({ name }) => obsolete.push(name),
  });
  return obsolete;
}

/**
 * Adds new rules of shared chains at the head and deletes obsolete ones. Handles are read when needed, because
 * to remember all of them would cost more.
 * @returns descriptions of obsolete rules that are missing already.
 */
async function writeShared(
  batch: RuleBatch,
  family: TableFamily,
  changes: readonly RulesChange[],
  reader: TablesReader,
): Promise<readonly string[]> {
  const rulesOf = (from: "old" | "new", others: "old" | "new") =>
    changes.flatMap((change) =>
      without(change[from].shared, change[others].shared).map((shared) => ({ ...shared, owner: change.key }))
    );
  const added = Map.groupBy(rulesOf("new", "old"), ({ chain }) => chain);
  const obsolete = Map.groupBy(rulesOf("old", "new"), ({ chain }) => chain);
  const drift: string[] = [];
  for (const chain of new Set([...added.keys(), ...obsolete.keys()])) {
    const rules = (obsolete.get(chain) ?? []).map(({ rule, owner }) => ({
      owner,
      identity: ruleIdentity(family, rule),
    }));
    const actual = rules.length === 0 ? NOT_READ : await reader.listing(chain.table, chain.name);
    const handles = handlesOf(actual.rules, new Set(rules.map(({ identity }) => identity)));
    const deleted = new Map<number, PlanKey>();
    for (const { owner, identity } of rules) {
      const handle = handles.get(identity)?.pop();
      if (handle !== undefined) deleted.set(handle, owner);
      else drift.push(`a rule of ${describeChain(family, chain)} is missing`);
    }
    writeSharedChange(batch, family, chain, actual, { added: added.get(chain) ?? [], deleted });
  }
  return drift;
}

function handlesOf(
  actual: readonly ActualRule[],
  identities: ReadonlySet<string>,
): ReadonlyMap<string, number[]> {
  const handles = new Map<string, number[]>();
  if (identities.size === 0) return handles;
  for (const rule of actual) {
    const identity = actualIdentity(rule);
    if (!identities.has(identity)) continue;
    const same = handles.get(identity);
    if (same === undefined) handles.set(identity, [rule.handle]);
    else same.push(rule.handle);
  }
  return handles;
}

/**
 * The rules of `rules` that are not in `others`. Both are in the order of the frontends, so that most rules
 * follow the one that was found before.
 */
function without(rules: readonly SharedRule[], others: readonly SharedRule[]): SharedRule[] {
  let next = 0;
  return rules.filter((rule) => {
    const follower = others[next];
    const found = follower !== undefined && sameSharedRule(follower, rule)
      ? next
      : others.findIndex((other) => sameSharedRule(other, rule));
    if (found >= 0) next = found + 1;
    return found < 0;
  });
}

function sameSharedRule(a: SharedRule, b: SharedRule): boolean {
  return a.chain === b.chain && sameRule(a.rule, b.rule);
}
