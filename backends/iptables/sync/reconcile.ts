import { yieldToEventLoop } from "../../../core/async/yield.ts";
import type { NodeSettings, ServicePortPlan } from "../../../core/plan/plan.ts";
import type { TableFamily } from "../../nf_tables/families.ts";
import { baseChain } from "../rules/base_chains.ts";
import type { RuleBatch } from "./batch.ts";
import type { BatchStream } from "./batch_stream.ts";
import { chainInWords } from "./describe_chain.ts";
import { compile } from "../rules/compile.ts";
import { holds } from "../wire/identity.ts";
import { type Chain, type JumpRule, type NodeRules, type SharedChain, tables } from "../rules/layout.ts";
import { isOurChain } from "../rules/names.ts";
import { compareJumps, jumpedTo, missingRules } from "./jumps.ts";
import { nodeRules } from "../rules/node_rules.ts";
import { deleteChains, type Undeletable } from "./removal.ts";
import type { FoundChains, TablesReader } from "./read.ts";
import type { RuleCounts } from "../rule_counts.ts";
import { SharedChainRepair } from "./shared_chain.ts";

/** What the rules depend on besides the plans and settings. */
export interface RuleContext {
  /** Large clusters go without the comments of each endpoint: docs/behaviour.md §5.1. */
  readonly isLarge: boolean;
  /** The kernel counts by name (nfnetlink_acct). */
  readonly nfacct: boolean;
  /** Packets that connection tracking takes for invalid are dropped, unless it is told to be liberal. */
  readonly dropsInvalid: boolean;
}

/** Plans are compiled in portions of so many: health checks and metrics are answered in between. */
const PORTION = 256;

/**
 * Writes what makes a family's tables hold what is wanted, whatever they hold now. Chains that are as they should be
 * are not touched, and other people's never.
 */
export class Reconciliation {
  readonly #stream: BatchStream;
  readonly #family: TableFamily;
  readonly #reader: TablesReader;
  readonly #isUndeletable: Undeletable;
  /** Chains there are and nobody asked for so far. */
  readonly #found: FoundChains;
  /** Something of ours was there: what is missing is a difference, not a beginning. */
  readonly foundOurs: boolean;
  readonly #total: RuleCounts;
  /** In words. */
  readonly differences: string[] = [];

  /** @param total counts the rules that are wanted. */
  constructor(
    stream: BatchStream,
    family: TableFamily,
    reader: TablesReader,
    found: FoundChains,
    isUndeletable: Undeletable,
    total: RuleCounts,
  ) {
    this.#stream = stream;
    this.#family = family;
    this.#reader = reader;
    this.#found = found;
    this.#isUndeletable = isUndeletable;
    this.#total = total;
    this.foundOurs = tables.some((table) => [...found[table]].some((chain) => isOurChain(table, chain)));
  }

  /** @param plans of this family. */
  async write(settings: NodeSettings, plans: Iterable<ServicePortPlan>, context: RuleContext): Promise<void> {
    const node = nodeRules(settings, context);
    this.#addTables(node);
    for (const { table, rules } of [...node.chains, ...node.joint]) this.#total.add(table, rules.length);
    for (const { table, last } of node.shared) this.#total.add(table, last.length);
    for (const { table } of node.jumps) this.#total.add(table, 1);
    for (const chain of node.chains) await this.#writeChain(chain);
    const shared = await this.#sharedChains(node);
    const compileContext = { settings, ...context };
    let count = 0;
    for (const plan of plans) {
      if (++count % PORTION === 0) await yieldToEventLoop();
      this.#batch.setOwner(plan.key);
      const rules = compile(plan, compileContext);
      this.#total.addService(rules);
      for (const chain of rules.chains) {
        // Not awaited where nothing is read: there are a hundred thousand.
        const repair = this.#writeChain(chain);
        if (repair !== undefined) await repair;
      }
      for (const { chain, rule } of rules.shared) shared.get(keyOf(chain))?.repair.want(rule, plan.key);
      // Nothing leads to the chains of services yet, when all of them are new.
      if (!this.foundOurs) await this.#stream.part();
    }
    this.#batch.setOwner(undefined);
    for (const { chain, repair } of shared.values()) {
      const wrong = repair.finish(this.#batch);
      if (wrong > 0) this.#differ(`${wrong} rules of ${chainInWords(this.#family, chain)}`);
    }
    for (const chain of node.joint) await this.#joinChain(chain);
    await this.#writeJumps(node.jumps);
    this.#deleteUnwanted();
  }

  get #batch(): RuleBatch {
    return this.#stream.batch;
  }

  #addTables(node: NodeRules): void {
    const chains = [...node.chains, ...node.shared, ...node.joint];
    for (const table of new Set(chains.map(({ table }) => table))) this.#batch.addTable(this.#family, table);
    for (const { table, from } of node.jumps) {
      if (this.#found[table].has(from)) continue;
      this.#batch.addBaseChain(this.#family, baseChain(table, from));
      this.#found[table].add(from);
    }
  }

  /** @returns undefined when it was not there, and nothing has to be read. */
  #writeChain(chain: Chain): Promise<void> | undefined {
    const { table, name, rules } = chain;
    if (this.#found[table].delete(name)) return this.#repairChain(chain);
    this.#addChain(chain);
    for (const rule of rules) this.#batch.appendRule(this.#family, table, name, rule);
    return undefined;
  }

  #addChain(chain: SharedChain): void {
    this.#differ(`${chainInWords(this.#family, chain)} is missing`);
    this.#batch.addChain(this.#family, chain.table, chain.name);
  }

  async #repairChain(chain: Chain): Promise<void> {
    const { table, name, rules } = chain;
    if (holds(this.#family, await this.#reader.rules(table, name), rules)) return;
    this.#differ(chainInWords(this.#family, chain));
    this.#batch.flushChain(this.#family, table, name);
    for (const rule of rules) this.#batch.appendRule(this.#family, table, name, rule);
  }

  async #sharedChains({ shared }: NodeRules): Promise<ReadonlyMap<string, SharedRepair>> {
    const repairs = new Map<string, SharedRepair>();
    for (const chain of shared) {
      const isThere = this.#found[chain.table].delete(chain.name);
      if (!isThere) this.#addChain(chain);
      const found = isThere ? await this.#reader.rules(chain.table, chain.name) : [];
      const repair = new SharedChainRepair(this.#family, chain, found);
      repairs.set(keyOf(chain), { chain, repair });
    }
    return repairs;
  }

  /** Others have rules in it, too. */
  async #joinChain(chain: Chain): Promise<void> {
    const { table, name } = chain;
    if (!this.#found[table].delete(name)) this.#addChain(chain);
    for (const rule of await missingRules(this.#family, this.#reader, chain)) {
      this.#differ(`our rule of ${chainInWords(this.#family, chain)}`);
      this.#batch.appendRule(this.#family, table, name, rule);
    }
  }

  async #writeJumps(jumps: readonly JumpRule[]): Promise<void> {
    const { missing, superfluous } = await compareJumps(this.#family, this.#reader, jumps);
    for (const jump of missing) {
      const { table, from, rule } = jump;
      this.#differ(`the jump from ${from} to ${jumpedTo(jump)} of table ${this.#family.keyword} ${table}`);
      this.#batch.insertRule(this.#family, table, from, rule);
    }
    for (const { table, from, handle } of superfluous) {
      this.#differ(`a jump to us in ${chainInWords(this.#family, { table, name: from })}`);
      this.#batch.deleteRule(this.#family, table, from, handle);
    }
  }

  /** What is left of ours: services that are gone, and what upstream's mode ipvs had. */
  #deleteUnwanted(): void {
    for (const table of tables) {
      const unwanted = [...this.#found[table]].filter((chain) => isOurChain(table, chain));
      if (unwanted.length > 0) this.#differ(`${unwanted.length} chains that nothing needs any more`);
      deleteChains(this.#batch, this.#family, table, unwanted, this.#isUndeletable);
    }
  }

  #differ(what: string): void {
    if (this.foundOurs) this.differences.push(what);
  }
}

interface SharedRepair {
  readonly chain: SharedChain;
  readonly repair: SharedChainRepair;
}

function keyOf({ table, name }: SharedChain): string {
  return `${table} ${name}`;
}
