import type { PlanKey, ServicePortPlan } from "../../../core/plan/plan.ts";
import type { PlanChange } from "../../../core/backend/contract.ts";
import type { TableFamily } from "../../nf_tables/families.ts";
import type { RuleBatch } from "./batch.ts";
import { compile, type CompileContext } from "../rules/compile.ts";
import { foundIdentity, ruleIdentity } from "../wire/identity.ts";
import type { Chain, ServiceRules, SharedChain, SharedRule } from "../rules/layout.ts";
import type { TablesReader } from "./read.ts";
import { deleteChains, type Undeletable } from "./removal.ts";
import { RuleCounts } from "../rule_counts.ts";
import { sameRule, sameRules } from "../rules/same_rule.ts";

/** One service port's rules before and after. */
interface Difference {
  readonly key: PlanKey;
  readonly old: ServiceRules;
  readonly new: ServiceRules;
}

export interface Update {
  /** Rules that were to be deleted and are not there, in words: somebody else was at work. */
  readonly astray: readonly string[];
  /** By how many rules there are more afterwards. */
  readonly growth: RuleCounts;
}

const nothing: ServiceRules = { chains: [], shared: [] };

/**
 * Writes what plan changes make different: the chains that change, as a whole, and single rules of shared chains.
 */
export async function writeUpdate(
  batch: RuleBatch,
  family: TableFamily,
  changes: readonly PlanChange[],
  context: CompileContext,
  reader: TablesReader,
  isUndeletable: Undeletable,
): Promise<Update> {
  const growth = new RuleCounts();
  const rulesOf = (plan: ServicePortPlan | undefined) =>
    plan === undefined ? nothing : compile(plan, context);
  const differences = changes.map((change) => ({
    key: change.key,
    old: rulesOf(change.old),
    new: rulesOf(change.new),
  }));
  for (const difference of differences) {
    growth.addService(difference.old, -1);
    growth.addService(difference.new);
  }
  for (const difference of differences) writeChains(batch, family, difference);
  for (const difference of differences) insertShared(batch, family, difference);
  const astray = await deleteShared(batch, family, differences, reader);
  for (const { key, old, new: { chains } } of differences) {
    batch.setOwner(key);
    const names = new Set(chains.map(({ name }) => name));
    const gone = old.chains.filter(({ name }) => !names.has(name)).map(({ name }) => name);
    if (gone.length > 0) deleteChains(batch, family, "nat", gone, isUndeletable);
  }
  return { astray, growth };
}

/** Endpoints of a plan, for telling a large cluster: docs/behaviour.md §5.1. */
export function endpointCount({ clusterEndpoints, localEndpoints }: ServicePortPlan): number {
  return Math.max(clusterEndpoints.length, localEndpoints.length);
}

/** All new chains exist before any rule jumps to them: each is written after those it jumps to. */
function writeChains(batch: RuleBatch, family: TableFamily, { key, old, new: { chains } }: Difference): void {
  batch.setOwner(key);
  const before = new Map<string, Chain>(old.chains.map((chain) => [chain.name, chain]));
  for (const { table, name, rules } of chains) {
    const same = before.get(name);
    if (same !== undefined && sameRules(same.rules, rules)) continue;
    if (same === undefined) batch.addChain(family, table, name);
    else batch.flushChain(family, table, name);
    for (const rule of rules) batch.appendRule(family, table, name, rule);
  }
}

/** At the head, so the last comes first: rules that depend on their order keep it. */
function insertShared(batch: RuleBatch, family: TableFamily, difference: Difference): void {
  batch.setOwner(difference.key);
  for (const { chain, rule } of without(difference.new.shared, difference.old.shared).reverse()) {
    batch.insertRule(family, chain.table, chain.name, rule);
  }
}

/** The kernel deletes a rule by its handle, which is read when it is needed: to remember all costs more than that. */
async function deleteShared(
  batch: RuleBatch,
  family: TableFamily,
  differences: readonly Difference[],
  reader: TablesReader,
): Promise<readonly string[]> {
  const unwanted = differences.flatMap(({ key, old, new: { shared } }) =>
    without(old.shared, shared).map(({ chain, rule }) => ({
      key,
      chain,
      identity: ruleIdentity(family, rule),
    }))
  );
  const astray: string[] = [];
  for (const [chain, rules] of Map.groupBy(unwanted, ({ chain }) => chain)) {
    const handles = await handlesOf(reader, chain, new Set(rules.map(({ identity }) => identity)));
    for (const { key, identity } of rules) {
      const handle = handles.get(identity)?.pop();
      batch.setOwner(key);
      if (handle !== undefined) batch.deleteRule(family, chain.table, chain.name, handle);
      else astray.push(`a rule of chain ${chain.name} of table ${family.keyword} ${chain.table} is gone`);
    }
  }
  return astray;
}

async function handlesOf(
  reader: TablesReader,
  { table, name }: SharedChain,
  identities: ReadonlySet<string>,
): Promise<ReadonlyMap<string, number[]>> {
  const handles = new Map<string, number[]>();
  for (const rule of await reader.rules(table, name)) {
    const identity = foundIdentity(rule);
    if (!identities.has(identity)) continue;
    handles.set(identity, [...handles.get(identity) ?? [], rule.handle]);
  }
  return handles;
}

function without(rules: readonly SharedRule[], others: readonly SharedRule[]): SharedRule[] {
  return rules.filter(({ chain, rule }) =>
    !others.some((other) => other.chain === chain && sameRule(other.rule, rule))
  );
}
