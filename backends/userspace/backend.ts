import type {
  Backend,
  BackendMetric,
  Comparison,
  Draining,
  NamedSockets,
  NativeText,
  OnForeignChange,
  PlanChange,
  ReconcileReport,
  Requirement,
  TransactionObserver,
} from "../../core/backend/contract.ts";
import { plansOf } from "../../core/backend/plan_changes.ts";
import type { RelaySocket, RelayState } from "../../core/backend/follower.ts";
import type { TrafficCounters } from "../../core/backend/traffic.ts";
import type { Log } from "../../core/observe/log.ts";
import type { DesiredState, NodeSettings, PlanKey, ServicePortPlan } from "../../core/plan/plan.ts";
import type { OpenNetlink } from "../../ffi/netlink/transport.ts";
import { ChangeList } from "../change_list.ts";
import { TableBatch } from "../nf_tables/batch.ts";
import { NfTables } from "../nf_tables/connection.ts";
import { tableFamilyOf } from "../nf_tables/families.ts";
import type { Candidates } from "../nf_tables/fixed/rejected_plans.ts";
import { writeTable } from "../nf_tables/fixed/table.ts";
import { FixedTables } from "../nf_tables/fixed/tables.ts";
import { compareTable, describeUnwantedTables } from "../nf_tables/image/describe_changes.ts";
import { PRIVILEGE } from "../nf_tables/probe.ts";
import type { TableSchema } from "../nf_tables/schema.ts";
import { TableText } from "../nf_tables/text/table_text.ts";
import {
  deletionOfObsoleteCounters,
  deletionOfStaleCounters,
  readTraffic,
} from "../nf_tables/traffic/tables.ts";
import { TableReader } from "../nf_tables/watch.ts";
import { MessageWriter } from "../../ffi/netlink/writer.ts";
import type { UserspaceOptions } from "./options.ts";
import { probeIcmp, probeTables, withPreferredPorts } from "./probe.ts";
import { REDIRECTION_TABLE, TABLE } from "./redirection/chains.ts";
import { elementsOf } from "./redirection/compile.ts";
import { describeElement } from "./redirection/describe_element.ts";
import { readPorts } from "./redirection/ports_in_force.ts";
import {
  listenersFor,
  portsIn,
  type RedirectionSettings,
  RELAYED_PROTOCOLS,
  SIDES,
  targetOf,
} from "./redirection/target.ts";
import { type TableState, updatesOf, wholeTable } from "./redirection/update.ts";
import { relayedServicesOf } from "./relayed_service.ts";
import type { RelaySettings } from "./relay/messages.ts";
import { RelayControl } from "./relay_control.ts";
import type { StartRelay } from "./relay_handle.ts";
import { relayUpdateOf } from "./relay_update.ts";

const WITHOUT_PRIVILEGE =
  "With --userspace-rules=false, the mode needs no privilege, and serves node ports and loopback addresses only";

/**
 * Mode userspace: rules lead new connections to listeners of this process, whose relay connects to an endpoint and moves
 * the bytes (docs/userspace.md). A frontend's service is known to the relay before a rule leads to it, and forgotten
 * after no rule does.
 */
export class UserspaceBackend implements Backend {
  readonly mode = "userspace";
  readonly afterEnd = "the rules stay in force, but Services answer only while a proxy runs";
  readonly #relay: RelayControl;
  readonly #setSysctls: () => readonly string[];
  readonly #kernel: NfTables;
  readonly #tables: FixedTables<RedirectionSettings>;
  /** Empty before the first reconcile. */
  #states: readonly TableState[] = [];

  /**
   * @param startRelay the seam for tests.
   * @param open likewise.
   * @param setSysctls sets the sysctls that the mode needs, and returns warnings.
   */
  constructor(
    options: UserspaceOptions,
    startRelay: StartRelay,
    open?: OpenNetlink,
    setSysctls: () => readonly string[] = () => [],
  ) {
    this.#setSysctls = setSysctls;
    // The next reconcile starts another relay.
    this.#relay = new RelayControl(options, startRelay, (cause) => this.#kernel.report(cause));
    this.#kernel = new NfTables(open);
    this.#tables = new FixedTables(REDIRECTION_TABLE, this.#kernel);
  }

  async probe(): Promise<readonly Requirement[]> {
    const requirements = (await this.#kernel.probe(probeTables)).map((requirement) =>
      requirement.name === PRIVILEGE && !requirement.found
        ? { ...requirement, detail: `${requirement.detail}. ${WITHOUT_PRIVILEGE}` }
        : requirement
    );
    return [...requirements, probeIcmp("recommended")];
  }

  logTo(log: Pick<Log, "warn">): void {
    this.#relay.logTo(log);
  }

  observeTransactions(observer: TransactionObserver): void {
    this.#kernel.observeTransactions(observer);
  }

  prepareNode(): Promise<readonly string[]> {
    return Promise.resolve(this.#setSysctls());
  }

  async reconcile(desired: DesiredState): Promise<ReconcileReport> {
    const existing = await this.#tables.schemas();
    const relay = await this.#relay.ensure(() => this.#relaySettings(desired.settings, existing));
    const plans = [...desired.plans.values()];
    await relay.replace(relayedServicesOf(plans));
    const wanted = desired.settings.map((settings) => {
      const { family } = settings;
      const listeners = portsIn(relay.listeners, family);
      const current = this.#states.find((state) => state.settings.family === family)?.settings.target;
      return wholeTable(
        tableFamilyOf(family),
        { ...settings, target: targetOf(settings, current), listeners },
        plans,
      );
    });
    const states = wanted.map(({ state }) => state);
    await this.#tables.replace(
      wanted.map(({ state: { family, settings }, contents }) => ({ family, settings, elements: contents })),
      existing,
      candidates(states, plans),
      await deletionOfStaleCounters(
        this.#kernel.client,
        TABLE.name,
        states.map((state) => ({ ...state, actual: existing.get(state.family.nfproto) })),
        plans,
      ),
    );
    this.#kernel.listen();
    this.#states = states;
    const missing = existing.size === 0
      ? []
      : states.filter(({ family }) => !existing.has(family.nfproto)).map(({ family: { keyword } }) =>
        `table ${keyword} ${TABLE.name} was missing`
      );
    return {
      found: existing.size === 0 ? "nothing" : "ours",
      differences: missing,
      compared: "part",
      warnings: this.#setSysctls(),
    };
  }

  async compare(desired: DesiredState): Promise<Comparison> {
    const schemas = await this.#tables.schemas();
    using client = this.#kernel.open();
    const changes = new ChangeList();
    for (const settings of desired.settings) {
      const family = tableFamilyOf(settings.family);
      const schema = schemas.get(family.nfproto);
      const listeners = await readPorts(client, family, schema);
      const { state, contents } = wholeTable(
        family,
        { ...settings, target: targetOf(settings), listeners },
        desired.plans.values(),
      );
      const batch = new TableBatch(TABLE, new MessageWriter(), 1);
      writeTable(REDIRECTION_TABLE, batch, { family, settings: state.settings, elements: contents });
      await compareTable(client, { family, name: TABLE.name, describeElement }, batch, schema, changes);
    }
    describeUnwantedTables(TABLE.name, schemas, desired.settings, changes);
    return changes.comparison(schemas.size === 0 ? "nothing" : "ours");
  }

  nativeText({ settings, plans }: DesiredState): readonly NativeText[] {
    const texts = settings.map((one) => {
      const family = tableFamilyOf(one.family);
      const table = new TableText(TABLE, family);
      const { state, contents } = wholeTable(family, withPreferredPorts(one), plans.values());
      writeTable(REDIRECTION_TABLE, table, { family, settings: state.settings, elements: contents });
      return table.text();
    });
    return [{ command: "nft -f -", text: texts.join("\n") }];
  }

  async leftovers(): Promise<readonly string[]> {
    return (await this.#tables.families()).map(({ keyword }) => `table ${keyword} ${TABLE.name}`);
  }

  async apply(changes: readonly PlanChange[]): Promise<void> {
    const relay = this.#relay.running;
    const { added, removed } = relayUpdateOf(changes);
    if (added.length > 0) await relay.update(added, []);
    const updates = updatesOf(this.#states, changes);
    const deleteObsolete = await deletionOfObsoleteCounters(
      this.#kernel.client,
      TABLE.name,
      this.#states,
      changes,
    );
    try {
      await this.#tables.update(updates, candidates(this.#states, plansOf(changes)), deleteObsolete);
    } catch (error) {
      // The rules in force lead to what the relay had before.
      const undo = relayUpdateOf(changes.map(({ key, old, new: next }) => ({ key, old: next, new: old })));
      await relay.update(undo.added, undo.removed);
      throw error;
    }
    for (const update of updates) update.accept();
    if (removed.length > 0) await relay.update([], removed);
  }

  watch(onForeignChange: OnForeignChange): Disposable {
    return this.#kernel.watch(new TableReader(TABLE.name), onForeignChange);
  }

  traffic(plans: ReadonlyMap<PlanKey, ServicePortPlan>): Promise<TrafficCounters> {
    return this.#kernel.read((client) => readTraffic(client, TABLE.name, this.#states, plans));
  }

  relaySockets(): readonly RelaySocket[] {
    return this.#states.flatMap(({ settings: { target, listeners } }) =>
      SIDES.flatMap((side) =>
        RELAYED_PROTOCOLS.map((protocol) => ({ address: target, port: listeners[side][protocol] }))
      )
    );
  }

  metrics(): Promise<readonly BackendMetric[]> {
    return this.#relay.metrics();
  }

  relayState(): Promise<RelayState | undefined> {
    return this.#relay.state();
  }

  inheritSockets(sockets: NamedSockets): void {
    this.#relay.inheritSockets(sockets);
  }

  socketsToKeep(): NamedSockets {
    return this.#relay.descriptors;
  }

  drain(isAwaited: boolean): Promise<Draining> {
    return this.#relay.drain(isAwaited);
  }

  async cleanup(): Promise<void> {
    const existing = await this.#tables.schemas();
    if (existing.size > 0) await this.#tables.replace([], existing, { plans: [], elementsOf: () => [] });
    this.#states = [];
  }

  [Symbol.dispose](): void {
    this.#relay[Symbol.dispose]();
    this.#kernel[Symbol.dispose]();
  }

  /** The relay listens on the ports that rules lead to already, if there are any. */
  async #relaySettings(
    settings: readonly NodeSettings[],
    schemas: ReadonlyMap<number, TableSchema>,
  ): Promise<Pick<RelaySettings, "sharedListeners" | "mark">> {
    const ports = new Map<NodeSettings["family"], Awaited<ReturnType<typeof readPorts>>>();
    for (const { family } of settings) {
      const tableFamily = tableFamilyOf(family);
      ports.set(family, await readPorts(this.#kernel.client, tableFamily, schemas.get(tableFamily.nfproto)));
    }
    return {
      sharedListeners: listenersFor(settings, (family) => ports.get(family)!),
      mark: settings[0]?.masqueradeMark ?? 0,
    };
  }
}

function candidates(states: readonly TableState[], plans: Iterable<ServicePortPlan>): Candidates {
  return {
    plans,
    elementsOf: (plan) => {
      const state = states.find(({ settings }) => settings.family === plan.family);
      return state === undefined ? [] : elementsOf(plan, state.settings);
    },
  };
}
