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
  type TransactionObserver,
} from "../../core/backend/contract.ts";
import type { LocalhostOptions } from "../../core/backend/follower.ts";
import { changesOfFamily, plansOf } from "../../core/backend/plan_changes.ts";
import type { TrafficCounters } from "../../core/backend/traffic.ts";
import type { DesiredState, NodeSettings, PlanKey, ServicePortPlan } from "../../core/plan/plan.ts";
import type { OpenNetlink } from "../../ffi/netlink/transport.ts";
import { ChangeList } from "../change_list.ts";
import type { TableBatch } from "../nf_tables/batch.ts";
import { NfTables } from "../nf_tables/connection.ts";
import { TABLE_FAMILIES, type TableFamily, tableFamilyOf } from "../nf_tables/families.ts";
import { explainRejection } from "../nf_tables/rejection.ts";
import { readSchemas, type TableSchema } from "../nf_tables/schema.ts";
import { TableText } from "../nf_tables/text/table_text.ts";
import {
  type CounterDeletion,
  deletionOfObsoleteCounters,
  deletionOfStaleCounters,
  readTraffic,
} from "../nf_tables/traffic/tables.ts";
import { TableReader } from "../nf_tables/watch.ts";
import { truncateList } from "../truncated_list.ts";
import { describeUnwantedTables } from "../nf_tables/image/describe_changes.ts";
import { compareTable, describeTableChanges } from "./compare.ts";
import { LocalhostRelays } from "./localhost/relays.ts";
import { TABLE } from "./names.ts";
import { probeKernel } from "./probe.ts";
import {
  chooseRefill,
  describeDifferences,
  estimateBatchBytes,
  isIntact,
  type Refill,
  writeRefill,
} from "./refill.ts";
import { describeElement, rejectedPlans } from "./rejection.ts";
import { ENDPOINTS } from "./sets.ts";
import type { TableState } from "./table_state.ts";
import { writeUpdate } from "./update.ts";

/**
 * Mode nftables: one nf_tables table per family. Services are elements of verdict maps, endpoints are
 * elements of data maps. Chains exist per number of endpoints, not per service (docs/nftables.md).
 */
export class NftablesBackend implements Backend {
  readonly mode = "nftables";
  readonly #kernel: NfTables;
  /** The tables in force. Empty before the first reconcile. */
  #tables: readonly TableState[] = [];
  /** Notifications were missed: the tables are compared before they are written again. */
  #isUncertain = false;
  #relays: LocalhostRelays | undefined;

  constructor(open?: OpenNetlink) {
    this.#kernel = new NfTables(open);
  }

  probe(): Promise<readonly Requirement[]> {
    return this.#kernel.probe(probeKernel);
  }

  observeTransactions(observer: TransactionObserver): void {
    this.#kernel.observeTransactions(observer);
  }

  async reconcile(desired: DesiredState): Promise<ReconcileReport> {
    const schemas = await this.#readSchemas();
    const refills = desired.settings.map((settings) => {
      const family = tableFamilyOf(settings.family);
      const actual = schemas.get(family.nfproto);
      return { family, settings, actual, refill: chooseRefill(family, settings, actual) };
    });
    const unwanted = TABLE_FAMILIES.filter((family) =>
      schemas.has(family.nfproto) && refills.every((refill) => refill.family !== family)
    );
    const differences = await this.#compareIfUncertain(desired, refills, unwanted);
    if (differences?.length === 0) return { found: "ours", differences, compared: "all" };
    try {
      const refilled = refills.filter(({ refill }) => refill.how === "refill");
      const plans = [...desired.plans.values()];
      const deleteStale = await deletionOfStaleCounters(this.#kernel.client, TABLE.name, refilled, plans);
      await this.#program(desired, refills, unwanted, deleteStale);
    } catch (error) {
      const canReplace = refills.some(({ refill }) => refill.how === "refill");
      if (!(error instanceof BackendError) || !canReplace) throw error;
      // The table changed since it was read, or contains an object that blocks the refill: replace it.
      const replacing = refills.map(({ family, settings }) => ({ family, settings, refill: REPLACE }));
      await this.#program(desired, replacing, unwanted, () => {});
    }
    const report = reportOf(refills);
    return { ...report, differences: truncateList([...report.differences, ...differences ?? []]) };
  }

  async compare(desired: DesiredState): Promise<Comparison> {
    const schemas = await this.#kernel.isAbsent()
      ? new Map<number, TableSchema>()
      : await this.#readSchemas();
    const changes = new ChangeList();
    using client = this.#kernel.open();
    for (const settings of desired.settings) {
      const family = tableFamilyOf(settings.family);
      const plans = [...desired.plans.values()].filter((plan) => plan.family === settings.family);
      await describeTableChanges(client, family, settings, schemas.get(family.nfproto), plans, changes);
    }
    describeUnwantedTables(TABLE.name, schemas, desired.settings, changes);
    return changes.comparison(foundIn([...schemas.values()]));
  }

  nativeText({ settings, plans }: DesiredState): readonly NativeText[] {
    const text = settings.map((one) => {
      const family = tableFamilyOf(one.family);
      const table = new TableText(TABLE, family);
      writeRefill(table, family, one, plans.values(), { how: "create" });
      return table.text();
    });
    return [{ command: "nft -f -", text: text.join("\n") }];
  }

  async leftovers(): Promise<readonly string[]> {
    return (await this.#kernel.familiesOf(TABLE.name)).map(({ keyword }) => `table ${keyword} ${TABLE.name}`);
  }

  async apply(changes: readonly PlanChange[]): Promise<void> {
    const deleteObsolete = await deletionOfObsoleteCounters(
      this.#kernel.client,
      TABLE.name,
      this.#tables,
      changes,
    );
    const batch = this.#kernel.beginTable(TABLE);
    const accept: (() => void)[] = [];
    for (const state of this.#tables) {
      const own = changesOfFamily(changes, state.family.family);
      if (own.length > 0) accept.push(writeUpdate(batch, state, own));
    }
    deleteObsolete(batch);
    if (batch.isEmpty) return;
    await this.#commit(batch, this.#tables, () => plansOf(changes));
    for (const done of accept) done();
  }

  watch(onForeignChange: OnForeignChange): Disposable {
    return this.#kernel.watch(
      new TableReader(TABLE.name),
      onForeignChange,
      () => this.#isUncertain = true,
    );
  }

  serveLocalhostNodePorts(options: LocalhostOptions): LocalhostRelays {
    return this.#relays = new LocalhostRelays(options);
  }

  traffic(plans: ReadonlyMap<PlanKey, ServicePortPlan>): Promise<TrafficCounters> {
    return this.#kernel.read((client) => readTraffic(client, TABLE.name, this.#tables, plans));
  }

  metrics(): Promise<readonly BackendMetric[]> {
    return Promise.resolve(this.#relays?.metrics() ?? []);
  }

  async cleanup(): Promise<void> {
    const failures: BackendError[] = [];
    for (const family of await this.#kernel.familiesOf(TABLE.name)) {
      const batch = this.#kernel.beginTable(TABLE);
      batch.removeTable(family);
      try {
        await this.#commit(batch, [], () => []);
      } catch (error) {
        // The table of one family may be another program's. It does not keep the other one.
        if (!(error instanceof BackendError)) throw error;
        failures.push(error);
      }
    }
    const [first, second] = failures;
    if (first === undefined) return;
    throw second === undefined ? first : new BackendError(`${first.message}; ${second.message}`);
  }

  [Symbol.dispose](): void {
    this.#kernel[Symbol.dispose]();
  }

  /**
   * Compares all tables with what is desired if notifications were missed, which may not concern them.
   * @returns descriptions of differences; none if the tables are equal to what is desired, and undefined if they were
   * not compared.
   */
  async #compareIfUncertain(
    desired: DesiredState,
    refills: readonly { family: TableFamily; settings: NodeSettings; actual: TableSchema | undefined }[],
    unwanted: readonly TableFamily[],
  ): Promise<readonly string[] | undefined> {
    if (!this.#isUncertain) return undefined;
    this.#isUncertain = false;
    if (unwanted.length > 0) return undefined;
    const states: TableState[] = [];
    const differences: string[] = [];
    using client = this.#kernel.open();
    for (const { family, settings, actual } of refills) {
      const before = this.#tables.find((table) => table.family === family);
      if (actual === undefined || before === undefined) return undefined;
      const result = await compareTable(client, before, settings, actual, desired.plans.values());
      if (result === undefined) return undefined;
      differences.push(...result.differences);
      states.push(result.state);
    }
    if (differences.length === 0) this.#tables = states;
    return differences;
  }

  /** Writes all tables in one transaction. */
  async #program(
    desired: DesiredState,
    refills: readonly { family: TableFamily; settings: NodeSettings; refill: Refill }[],
    unwanted: readonly TableFamily[],
    deleteStale: CounterDeletion,
  ): Promise<void> {
    const batch = this.#kernel.beginTable(TABLE, estimateBatchBytes(desired.plans.values()));
    for (const family of unwanted) {
      batch.removeTable(family);
    }
    const tables = refills.map(({ family, settings, refill }) =>
      writeRefill(batch, family, settings, desired.plans.values(), refill)
    );
    deleteStale(batch);
    await this.#commit(batch, tables, () => desired.plans.values());
    this.#kernel.listen();
  }

  /**
   * @param tables in force once the batch is committed.
   * @param candidates plans that a rejection may be about.
   * @throws BackendError when the kernel rejects the batch.
   */
  async #commit(
    batch: TableBatch,
    tables: readonly TableState[],
    candidates: () => Iterable<ServicePortPlan>,
  ): Promise<void> {
    const { foreignChange } = await this.#kernel.commit(
      batch,
      (bytes, answer) =>
        explainRejection(bytes, answer, {
          mode: this.mode,
          table: TABLE.name,
          rejectedPlans: (rejection) =>
            rejectedPlans(
              rejection,
              candidates(),
              (family) => tables.find((table) => table.family === family)?.settings,
            ),
          describeElement,
          onDrift: (what) => this.#kernel.reportDrift(what),
        }),
    );
    this.#tables = tables;
    if (foreignChange && this.#kernel.isWatched) await this.#checkTables();
  }

  /**
   * Another process changed nf_tables while our watches were paused: finds out whether it changed our tables.
   */
  async #checkTables(): Promise<void> {
    const schemas = await this.#readSchemas();
    for (const state of this.#tables) {
      if (isIntact(state, schemas.get(state.family.nfproto))) continue;
      this.#kernel.report(
        `another process changed table ${state.family.keyword} kube-proxy during our transaction`,
      );
    }
  }

  #readSchemas(): Promise<ReadonlyMap<number, TableSchema>> {
    return readSchemas(this.#kernel.client, TABLE.name);
  }
}

const REPLACE: Refill = { how: "replace" };

function reportOf(
  refills: readonly { family: TableFamily; settings: NodeSettings; actual: TableSchema | undefined }[],
): ReconcileReport {
  const existing = refills.flatMap(({ family, settings, actual }) =>
    actual === undefined ? [] : [{ family, settings, actual }]
  );
  const found = foundIn(existing.map(({ actual }) => actual));
  if (found !== "ours") return { found, differences: [], compared: "part" };
  const differences = existing.flatMap(({ family, settings, actual }) =>
    describeDifferences(family, settings, actual)
  );
  return { found: "ours", differences, compared: "part" };
}

function foundIn(schemas: readonly TableSchema[]): ReconcileReport["found"] {
  if (schemas.length === 0) return "nothing";
  // kube-proxy's table has the same name, but lacks this map.
  return schemas.every(({ sets }) => sets.has(ENDPOINTS)) ? "ours" : "foreign";
}
