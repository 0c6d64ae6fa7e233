import { yieldToEventLoop } from "../../../core/async/yield.ts";
import {
  type NodeSettings,
  type PlanKey,
  printedNameOf,
  type ServicePortPlan,
} from "../../../core/plan/plan.ts";
import type { TableFamily } from "../../nf_tables/families.ts";
import type { ChangeList } from "../../change_list.ts";
import type { RuleCounts } from "../rule_counts.ts";
import { compile, type CompileContext } from "../rules/compile.ts";
import {
  builtInChain,
  describeChain,
  type IptablesChain,
  type JumpRule,
  type NodeRules,
  type SharedChain,
  TABLES,
} from "../rules/layout.ts";
import { isOurChain } from "../rules/names.ts";
import { nodeRules, type NodeRulesContext } from "../rules/node_rules.ts";
import { holdsExactly } from "../wire/identity.ts";
import type { BatchStream, RuleBatch } from "./batch.ts";
import { compareJumps, describeJump, missingRules } from "./jumps.ts";
import type { ActualChains, TablesReader } from "./read.ts";
import { deleteChains, type IsUndeletable } from "./removal.ts";
import { SharedChainRepair } from "./shared_chain.ts";

/** Inputs of the rules besides the plans and settings. */
export type RuleContext = Omit<CompileContext, "settings"> & NodeRulesContext;

/** After this many compiled plans the event loop runs, so that health checks and metrics are answered. */
const PLANS_PER_TURN = 256;

/**
 * Writes the difference between the desired state and a family's tables. Chains that are as desired are not
 * touched, and foreign chains never.
 */
export class Reconciliation {
  readonly #stream: BatchStream;
  readonly #family: TableFamily;
  readonly #reader: TablesReader;
  readonly #isUndeletable: IsUndeletable;
  /** Actual chains that no desired chain has matched yet. */
  readonly #unmatched: ActualChains;
  /** The tables had chains of ours, so that everything missing is a difference to report. */
  readonly foundOurs: boolean;
  readonly #total: RuleCounts;
  /** Descriptions of the differences. */
  readonly differences: string[] = [];
  readonly #changes: ChangeList | undefined;
  /** The service port that is compared. */
  #owner: PlanKey | undefined;

  /**
   * @param actual is consumed.
   * @param total counts the desired rules.
   * @param changes receives the differences, also if the tables had no chains of ours.
   */
  constructor(
    stream: BatchStream,
    family: TableFamily,
    reader: TablesReader,
    actual: ActualChains,
    isUndeletable: IsUndeletable,
    total: RuleCounts,
    changes?: ChangeList,
  ) {
    this.#stream = stream;
    this.#family = family;
    this.#reader = reader;
    this.#unmatched = actual;
    this.#isUndeletable = isUndeletable;
    this.#total = total;
    this.#changes = changes;
    this.foundOurs = TABLES.some((table) => [...actual[table]].some((chain) => isOurChain(table, chain)));
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
      if (++count % PLANS_PER_TURN === 0) await yieldToEventLoop();
      this.#batch.setOwner(plan.key);
      this.#owner = plan.key;
      const rules = compile(plan, compileContext);
      this.#total.addService(rules);
      for (const chain of rules.chains) {
        // Awaited only if the chain must be read, because there are a hundred thousand chains.
        const repair = this.#writeChain(chain);
        if (repair !== undefined) await repair;
      }
      for (const { chain, rule } of rules.shared) shared.get(keyOf(chain))?.repair.require(rule, plan.key);
      // A split is invisible to packets if all chains are new, because nothing jumps to them yet.
      if (!this.foundOurs) await this.#stream.allowSplit();
    }
    this.#batch.setOwner(undefined);
    this.#owner = undefined;
    for (const { chain, exists, repair } of shared.values()) {
      const differing = repair.write(this.#batch);
      // A chain that did not exist is reported as a whole.
      if (differing > 0 && (exists || this.foundOurs)) {
        this.#differ("change", () => `${differing} rules of ${describeChain(this.#family, chain)}`);
      }
    }
    for (const chain of node.joint) await this.#writeJoint(chain);
    await this.#writeJumps(node.jumps);
    this.#deleteObsolete();
  }

  get #batch(): RuleBatch {
    return this.#stream.batch;
  }

  #addTables(node: NodeRules): void {
    const chains = [...node.chains, ...node.shared, ...node.joint];
    for (const table of new Set(chains.map(({ table }) => table))) this.#batch.addTable(this.#family, table);
    for (const { table, from } of node.jumps) {
      if (this.#unmatched[table].has(from)) continue;
      this.#batch.addBuiltInChain(this.#family, builtInChain(table, from));
      this.#unmatched[table].add(from);
    }
  }

  /** @returns undefined if the chain is new, so that nothing has to be read. */
  #writeChain(chain: IptablesChain): Promise<void> | undefined {
    const { table, name, rules } = chain;
    if (this.#unmatched[table].delete(name)) return this.#repairChain(chain);
    this.#addChain(chain);
    for (const rule of rules) this.#batch.appendRule(this.#family, table, name, rule);
    return undefined;
  }

  #addChain(chain: SharedChain): void {
    this.#differ("add", () => describeChain(this.#family, chain), " is missing");
    this.#batch.addChain(this.#family, chain.table, chain.name);
  }

  async #repairChain(chain: IptablesChain): Promise<void> {
    const { table, name, rules } = chain;
    if (holdsExactly(this.#family, await this.#reader.rules(table, name), rules)) return;
    this.#differ("change", () => describeChain(this.#family, chain));
    this.#batch.flushChain(this.#family, table, name);
    for (const rule of rules) this.#batch.appendRule(this.#family, table, name, rule);
  }

  async #sharedChains({ shared }: NodeRules): Promise<ReadonlyMap<string, SharedRepair>> {
    const repairs = new Map<string, SharedRepair>();
    for (const chain of shared) {
      const exists = this.#unmatched[chain.table].delete(chain.name);
      if (!exists) this.#addChain(chain);
      const actual = exists ? await this.#reader.rules(chain.table, chain.name) : [];
      const repair = new SharedChainRepair(this.#family, chain, actual);
      repairs.set(keyOf(chain), { chain, exists, repair });
    }
    return repairs;
  }

  /** Adds our missing rules to a chain with foreign rules. */
  async #writeJoint(chain: IptablesChain): Promise<void> {
    const { table, name } = chain;
    if (!this.#unmatched[table].delete(name)) this.#addChain(chain);
    for (const rule of await missingRules(this.#family, this.#reader, chain)) {
      this.#differ("add", () => `our rule of ${describeChain(this.#family, chain)}`);
      this.#batch.appendRule(this.#family, table, name, rule);
    }
  }

  async #writeJumps(jumps: readonly JumpRule[]): Promise<void> {
    const { missing, superfluous } = await compareJumps(this.#family, this.#reader, jumps);
    for (const jump of missing) {
      this.#differ("add", () => describeJump(this.#family, jump));
      this.#batch.insertRule(this.#family, jump.table, jump.from, jump.rule);
    }
    for (const { table, from, handle } of superfluous) {
      const chain = { table, name: from };
      this.#differ("remove", () => `a superfluous jump in ${describeChain(this.#family, chain)}`);
      this.#batch.deleteRule(this.#family, table, from, handle);
    }
  }

  /** Deletes the chains of deleted services, and those of kube-proxy's other modes. */
  #deleteObsolete(): void {
    for (const table of TABLES) {
      const obsolete = [...this.#unmatched[table]].filter((chain) => isOurChain(table, chain));
      if (obsolete.length > 0 && this.foundOurs) this.differences.push(`${obsolete.length} obsolete chains`);
      for (const name of obsolete) this.#changes?.remove(() => describeChain(this.#family, { table, name }));
      deleteChains(this.#batch, this.#family, table, obsolete, this.#isUndeletable);
    }
  }

  /** @param suffix is added for the log. */
  #differ(kind: "add" | "change" | "remove", describe: () => string, suffix = ""): void {
    if (this.foundOurs) this.differences.push(`${describe()}${suffix}`);
    const owner = this.#owner;
    this.#changes?.[kind](() => owner === undefined ? describe() : `${describe()} (${printedNameOf(owner)})`);
  }
}

interface SharedRepair {
  readonly chain: SharedChain;
  readonly exists: boolean;
  readonly repair: SharedChainRepair;
}

function keyOf({ table, name }: SharedChain): string {
  return `${table} ${name}`;
}
