import type { TrafficCounters } from "../../core/backend/traffic.ts";
import type { DesiredState, NodeSettings, PlanKey, ServicePortPlan } from "../../core/plan/plan.ts";
import { errnoOf } from "../../ffi/errno.ts";
import { type Rejected, rejectionError } from "../../ffi/netlink/exchange.ts";
import type { OpenNetlink } from "../../ffi/netlink/transport.ts";
import {
  type Backend,
  BackendError,
  type BackendMetric,
  type Comparison,
  type NativeText,
  type OnForeignChange,
  type PlanChange,
  type ReconcileReport,
  type Requirement,
  StillInUse,
  type TransactionObserver,
} from "../../core/backend/contract.ts";
import { DebouncedScan } from "../../core/async/debounced_scan.ts";
import { changesOfFamily } from "../../core/backend/plan_changes.ts";
import { backendError } from "../backend_errors.ts";
import { ChangeList } from "../change_list.ts";
import { NfTables } from "../nf_tables/connection.ts";
import { TABLE_FAMILIES, type TableFamily, tableFamilyOf } from "../nf_tables/families.ts";
import { type Author, describeAuthor } from "../nf_tables/watch.ts";
import { truncateList } from "../truncated_list.ts";
import { BatchStream, RuleBatch } from "./sync/batch.ts";
import { ChainReader } from "./sync/watch.ts";
import { routeLocalnet } from "./host_settings.ts";
import { countEndpoints, plansOf } from "./desired.ts";
import { contextFor, type Host, readHost } from "./host.ts";
import { compareTables, describeLeftovers } from "./sync/compare.ts";
import { describeMissingRule } from "./sync/jumps.ts";
import type { TableName } from "./rules/layout.ts";
import { kubeProxyWarning, readLegacyTables } from "../x_tables/tables.ts";
import { CT_STATE_INVALID_DROPPED, LOCALHOST_NODE_PORTS_ACCEPTED } from "./rules/names.ts";
import { PacketCounters } from "./nfacct.ts";
import { nativeTexts } from "./native_text.ts";
import { nodeRules } from "./rules/node_rules.ts";
import { probeKernel } from "./probe.ts";
import { TablesReader } from "./sync/read.ts";
import { Reconciliation, type RuleContext } from "./sync/reconcile.ts";
import { rejectedChange } from "./sync/rejection.ts";
import { ChainInUse, RestoreRejected } from "./sync/retry_errors.ts";
import { describeHeld, type HeldChain, heldChains, remainingChains } from "./sync/held_chains.ts";
import { type IsUndeletable, removedChains, writeRemoval } from "./sync/removal.ts";
import { RuleCounts, ruleMetrics } from "./rule_counts.ts";
import { endpointCount, writeUpdate } from "./sync/update.ts";
import { readTraffic } from "./sync/traffic.ts";
import { VolumeTables, volumeTexts } from "./volumes/volume_tables.ts";

/** Attempts to write a batch. After each failed one, a chain that foreign rules jump to is kept. */
const MAX_ATTEMPTS = 20;

/** Deletions within this time share one check of the chains with foreign rules. */
const SETTLE_MS = 10;

/** The state of one family in force. */
interface FamilyState {
  readonly family: TableFamily;
  readonly settings: NodeSettings;
  endpoints: number;
  /** Numbers of rules in force. */
  readonly total: RuleCounts;
  /** Numbers of rules that the last sync wrote. */
  last: RuleCounts;
}

/**
 * Programs services as rules of iptables, in kube-proxy's chains, in the form of iptables-nft:
 * docs/iptables.md.
 */
export class IptablesBackend implements Backend {
  readonly mode = "iptables";
  readonly #kernel: NfTables;
  #host: Host = { nfacct: false, dropsInvalid: false };
  readonly #volumes: VolumeTables;
  /** Empty before the first reconcile. */
  #families: readonly FamilyState[] = [];
  /** Chains of ours that foreign rules jump to. They stay, without rules, instead of being deleted. */
  readonly #undeletable = new Set<string>();
  /** False if the kernel rejected a rule that it had listed, until the next reconcile. */
  #mayRestore = true;

  constructor(open?: OpenNetlink) {
    this.#kernel = new NfTables(open);
    this.#volumes = new VolumeTables(this.#kernel);
  }

  probe(): Promise<readonly Requirement[]> {
    return this.#kernel.probe(probeKernel);
  }

  observeTransactions(observer: TransactionObserver): void {
    this.#kernel.observeTransactions(observer);
  }

  prepareNode(localhostNodePorts: boolean): Promise<readonly string[]> {
    const warning = localhostNodePorts ? routeLocalnet() : undefined;
    return Promise.resolve(warning === undefined ? [] : [warning]);
  }

  async reconcile(desired: DesiredState): Promise<ReconcileReport> {
    await this.#prepareHost();
    const warnings = await this.prepareNode(desired.settings.some((settings) => settings.localhostNodePorts));
    this.#undeletable.clear();
    this.#mayRestore = true;
    // Listen before reading, so that a foreign change during the reconcile is noticed.
    this.#kernel.listen();
    const report = await this.#withoutUndeletable((isUndeletable) => this.#program(desired, isUndeletable));
    const warningsOfVolumes = await this.#volumes.reconcile(desired);
    return { ...report, warnings: [...warnings, ...warningsOfVolumes] };
  }

  async compare(desired: DesiredState): Promise<Comparison> {
    using client = this.#kernel.open();
    const host = await readHost(client);
    const contextOf = (settings: NodeSettings) =>
      contextFor(host, countEndpoints(desired.plans.values(), settings));
    const changes = new ChangeList();
    const found = await compareTables(client, desired, contextOf, changes);
    await this.#volumes.compare(client, desired, changes);
    return changes.comparison(found);
  }

  nativeText(desired: DesiredState): readonly NativeText[] {
    return [...nativeTexts(desired), ...volumeTexts(desired)];
  }

  async leftovers(): Promise<readonly string[]> {
    if (await this.#kernel.isAbsent()) return [];
    return [...await describeLeftovers(this.#kernel.client), ...await this.#volumes.leftovers()];
  }

  async apply(changes: readonly PlanChange[]): Promise<void> {
    await this.#withoutUndeletable((isUndeletable) => this.#update(changes, isUndeletable));
    await this.#volumes.apply(changes);
  }

  watch(onForeignChange: OnForeignChange): Disposable {
    let author: Author | undefined;
    const check = new DebouncedScan(
      () => this.#checkMixedChains(author).catch((error) => this.#kernel.report(String(error))),
      SETTLE_MS,
    );
    const reader = new ChainReader((by) => {
      author = by;
      check.request();
    });
    const watch = this.#kernel.watch(reader, onForeignChange);
    return {
      [Symbol.dispose]() {
        watch[Symbol.dispose]();
        check[Symbol.dispose]();
      },
    };
  }

  traffic(plans: ReadonlyMap<PlanKey, ServicePortPlan>): Promise<TrafficCounters> {
    const families = this.#families.map((state) => ({
      family: state.family,
      context: { settings: state.settings, ...this.#contextOf(state) },
    }));
    return this.#kernel.read(async (client) => {
      const services = await readTraffic(client, families, plans);
      return { services: await this.#volumes.addTo(services, client, plans), unallocated: {} };
    });
  }

  async metrics(): Promise<readonly BackendMetric[]> {
    const packets = await this.#kernel.read((client) => new PacketCounters(client).metrics());
    return [
      ...packets,
      ...ruleMetrics(
        this.#families.map(({ family, total, last }) => ({ family: family.family, total, last })),
      ),
    ];
  }

  async cleanup(): Promise<void> {
    await this.#volumes.cleanup();
    const remaining = await this.#kernel.isAbsent() ? undefined : await this.#removeChains();
    this.#families = [];
    const legacy = kubeProxyWarning(readLegacyTables());
    if (legacy !== undefined) {
      throw new BackendError(
        `iptables: ${[legacy, ...remaining === undefined ? [] : [remaining]].join(". Also, ")}`,
      );
    }
    if (remaining !== undefined) throw new StillInUse(`iptables: ${remaining}`);
  }

  /** @returns a description of the chains that remain, undefined if there are none. */
  async #removeChains(): Promise<string | undefined> {
    this.#undeletable.clear();
    const held: HeldChain[] = [];
    for (const family of TABLE_FAMILIES) {
      const reader = this.#reader(family);
      held.push(...await heldChains(family, reader, await reader.chains()));
    }
    for (const { family, table, name } of held) this.#undeletable.add(keyOf(family, table, name));
    await this.#withoutUndeletable(async (isUndeletable) => {
      const batch = this.#kernel.begin(RuleBatch);
      for (const family of TABLE_FAMILIES) {
        const reader = this.#reader(family);
        await writeRemoval(batch, family, reader, await reader.chains(), isUndeletable);
      }
      await this.#commit(batch);
    });
    return await this.#describeRemaining(held);
  }

  /** Describes the chains of ours and of kube-proxy that remain after a cleanup; undefined if there are none. */
  async #describeRemaining(held: readonly HeldChain[]): Promise<string | undefined> {
    const remaining: string[] = [];
    for (const family of TABLE_FAMILIES) {
      const reader = this.#reader(family);
      const actual = await reader.chains();
      const isRemoved = await removedChains(family, reader, actual);
      remaining.push(...remainingChains(family, actual, isRemoved, held).map(describeHeld));
    }
    if (remaining.length === 0) return undefined;
    return `these chains remain, without rules: ${truncateList(remaining).join("; ")}. ` +
      "Remove those rules, or let their owner do it, then run proxy --cleanup again";
  }

  [Symbol.dispose](): void {
    this.#kernel[Symbol.dispose]();
  }

  async #program(desired: DesiredState, isUndeletable: IsUndeletable): Promise<ReconcileReport> {
    const states = desired.settings.map((settings) => ({
      family: tableFamilyOf(settings.family),
      settings,
      endpoints: countEndpoints(desired.plans.values(), settings),
      total: new RuleCounts(),
    }));
    using client = this.#kernel.open();
    await using stream = new BatchStream(
      (bytes) => this.#begin(bytes),
      (batch) => this.#commit(batch),
    );
    const differences: string[] = [];
    let foundOurs = false;
    for (const family of TABLE_FAMILIES) {
      // On another socket than the transactions, because one of them may be in flight.
      const reader = new TablesReader(client, family);
      const actual = await reader.chains();
      const state = states.find((state) => state.family === family);
      if (state === undefined) {
        await writeRemoval(stream.batch, family, reader, actual, isUndeletable);
        continue;
      }
      const work = new Reconciliation(stream, family, reader, actual, isUndeletable, state.total);
      await work.write(state.settings, plansOf(desired, state.settings), this.#contextOf(state));
      foundOurs ||= work.foundOurs;
      differences.push(...work.differences);
    }
    await stream.finish();
    this.#families = states.map((state) => ({ ...state, last: stream.written[state.family.family] }));
    return { found: foundOurs ? "ours" : "nothing", differences: truncateList(differences), compared: "all" };
  }

  async #update(changes: readonly PlanChange[], isUndeletable: IsUndeletable): Promise<void> {
    const batch = this.#begin();
    const accept: (() => void)[] = [];
    const drift: string[] = [];
    for (const state of this.#families) {
      const { family, settings } = state;
      const own = changesOfFamily(changes, family.family);
      if (own.length === 0) continue;
      const endpoints = state.endpoints + own.reduce((sum, change) => sum + growthOf(change), 0);
      const context = { settings, ...this.#contextOf({ endpoints }) };
      const reader = this.#reader(family);
      const update = await writeUpdate(batch, family, own, context, reader, isUndeletable);
      drift.push(...update.drift);
      accept.push(() => {
        state.endpoints = endpoints;
        state.total.addAll(update.growth);
        state.last = batch.written[family.family];
      });
    }
    await this.#commit(batch);
    for (const done of accept) done();
    const [first] = drift;
    if (first !== undefined) this.#kernel.reportDrift(first);
  }

  #begin(bytes?: number): RuleBatch {
    const batch = this.#kernel.begin(RuleBatch, bytes);
    batch.mayRestore = this.#mayRestore;
    return batch;
  }

  /** @throws ChainInUse, RestoreRejected, or BackendError when the kernel rejects the batch. */
  async #commit(batch: RuleBatch): Promise<void> {
    if (batch.isEmpty) return;
    const { foreignChange } = await this.#kernel.commit(
      batch,
      (bytes, answer) => this.#rejectionError(batch, bytes, answer),
    );
    if (foreignChange && this.#kernel.isWatched) {
      this.#kernel.report("another process changed nf_tables during our transaction");
    }
  }

  #rejectionError(batch: RuleBatch, bytes: Uint8Array, answer: Rejected): Error {
    const { operation, chain, isChainDeletion, extension } = rejectedChange(bytes, answer);
    if (isChainDeletion && chain !== undefined && answer.errno === errnoOf("EBUSY")) {
      return new ChainInUse(keyOf(chain.family, chain.table, chain.name));
    }
    if (batch.restores(answer.seq)) return new RestoreRejected(operation);
    const isMissing = answer.errno === errnoOf("ENOENT");
    const owner = batch.ownerOf(answer.seq);
    const about = owner === undefined ? operation : `${operation} for service ${owner}`;
    const need = isMissing && extension !== undefined
      ? `, which needs ${extension} of the kernel (proxy check names the kernel module)`
      : "";
    const error = rejectionError(about + need, answer);
    // A missing object is not the service's fault: kernel state differs from what was last programmed.
    const isDrift = isMissing && extension === undefined;
    if (isDrift) this.#kernel.reportDrift(error.message);
    // A denial concerns the whole table or process, not the service.
    const isDenial = answer.errno === errnoOf("EPERM");
    return backendError(this.mode, error, isDrift || isDenial || owner === undefined ? [] : [owner]);
  }

  /**
   * Calls `write` until no foreign rule jumps to a chain that it deletes, and the kernel takes every rule that it
   * adds again. A chain that one jumps to is kept.
   */
  async #withoutUndeletable<Result>(
    write: (isUndeletable: IsUndeletable) => Promise<Result>,
  ): Promise<Result> {
    for (let attempt = 1;; attempt++) {
      try {
        return await write((...chain) => this.#undeletable.has(keyOf(...chain)));
      } catch (error) {
        if (error instanceof RestoreRejected && this.#mayRestore) {
          this.#mayRestore = false;
          continue;
        }
        if (!(error instanceof ChainInUse)) throw error;
        if (attempt === MAX_ATTEMPTS) {
          const cause = `foreign rules jump to ${MAX_ATTEMPTS} or more of the chains to delete`;
          throw new BackendError(`iptables: ${cause}. Remove these rules`, [], { cause: error });
        }
        this.#undeletable.add(error.chain);
      }
    }
  }

  async #prepareHost(): Promise<void> {
    using client = this.#kernel.open();
    const counters = new PacketCounters(client);
    this.#host = await readHost(client);
    if (!this.#host.nfacct) return;
    for (const name of [CT_STATE_INVALID_DROPPED, LOCALHOST_NODE_PORTS_ACCEPTED]) await counters.ensure(name);
  }

  #contextOf({ endpoints }: { readonly endpoints: number }): RuleContext {
    return contextFor(this.#host, endpoints);
  }

  /**
   * Reports our rules that are missing from chains with foreign rules. Uses another socket than the
   * transactions, because one of them may be in flight.
   * @param author made the last change of such chains.
   */
  #checkMixedChains(author: Author | undefined): Promise<void> {
    return this.#kernel.read(async (client) => {
      for (const { family, settings } of this.#families) {
        const reader = new TablesReader(client, family);
        const missing = await describeMissingRule(family, reader, nodeRules(settings, this.#host));
        if (missing === undefined) continue;
        const by = author === undefined ? "" : ` by ${describeAuthor(author)}`;
        this.#kernel.report(`${missing} was deleted${by}`, author?.name);
      }
    });
  }

  #reader(family: TableFamily): TablesReader {
    return new TablesReader(this.#kernel.client, family);
  }
}

/** A key of a chain. Both families have chains of the same name. */
function keyOf(family: TableFamily, table: TableName, chain: string): string {
  return `${family.keyword} ${table} ${chain}`;
}

function growthOf(change: PlanChange): number {
  const count = (plan: ServicePortPlan | undefined) => plan === undefined ? 0 : endpointCount(plan);
  return count(change.new) - count(change.old);
}
