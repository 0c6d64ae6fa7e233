import type { DesiredState, PlanKey, ServicePortPlan } from "../plan/plan.ts";
import type { Limitation } from "../plan/limitation.ts";
import type { TrafficCounters } from "./traffic.ts";
import type { Log } from "../observe/log.ts";
import type { LoopbackState } from "./loopback.ts";
import type { UnservedNodePorts } from "./unserved_node_ports.ts";
import type { Follower, LocalhostOptions, RelaySocket, RelayState } from "./follower.ts";

/** A changed plan of one service port. `old` is undefined for a new service port, `new` for a removed one. */
export interface PlanChange {
  readonly key: PlanKey;
  readonly old: ServicePortPlan | undefined;
  readonly new: ServicePortPlan | undefined;
}

/** The state in force after a sync. */
export interface InForce {
  readonly desired: DesiredState;
  /** The changes that this sync made. */
  readonly changes: readonly PlanChange[];
  /** True after a reconcile: the kernel may have held anything before, so more than `changes` may be new to it. */
  readonly full: boolean;
}

/** A feature of the kernel, or a privilege, that a mode uses. */
export interface Requirement {
  /** Shown to operators: "nf_tables in the kernel", "CAP_NET_ADMIN". */
  readonly name: string;
  readonly found: boolean;
  /** The evidence; for a missing feature also where it comes from. */
  readonly detail: string;
  readonly severity: Severity;
  /** The command that supplies a missing feature, such as `modprobe nft_ct`; undefined if there is none. */
  readonly fix?: string;
}

/** Describes a requirement for operators: its evidence, and the command that supplies what is missing. */
export function describeRequirement({ detail, fix }: Pick<Requirement, "detail" | "fix">): string {
  return fix === undefined ? detail : `${detail}. Run on the node: ${fix}`;
}

/**
 * The consequence of a missing requirement. "required": the mode does not start. "recommended": the mode works with a
 * limitation, and every start logs `detail` as a warning. "optional": only `proxy check` mentions it.
 */
export type Severity = "required" | "recommended" | "optional";

/** A metric that only one mode has, read at the moment of a scrape. */
export interface BackendMetric {
  /** Without the prefix `kubeproxy_`. The name of a counter ends in `_total`. */
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "gauge";
  readonly labels: readonly string[];
  /** The label values of a sample are in the order of `labels`. */
  readonly samples: readonly { readonly labels: readonly string[]; readonly value: number }[];
}

/** A transaction with the kernel that ended. */
export interface Transaction {
  /** From the request to the answer of the kernel. */
  readonly seconds: number;
  readonly bytes: number;
  readonly committed: boolean;
}

/** Observes the transactions with the kernel, for metrics. */
export interface TransactionObserver {
  transactionEnded(transaction: Transaction): void;
}

/** The kernel state that a reconcile met. */
export interface ReconcileReport {
  /**
   * "nothing": no objects of this mode. "foreign": objects that another program made. "ours": objects that this
   * program made, in this process or in an earlier one; also the answer of a mode that cannot tell them from
   * kube-proxy's.
   */
  readonly found: "nothing" | "foreign" | "ours";
  /** Kernel objects that were wrong or missing. */
  readonly differences: readonly string[];
  /** "all": everything in force was read and compared. "part": some of it was written again without being read. */
  readonly compared: "all" | "part";
  /** Parts of the desired state that the node does not allow, each with what to do about it. */
  readonly warnings?: readonly string[];
}

/**
 * The changes that a reconcile would make. Each list has the descriptions of the first ones, and in its last line the
 * number of the rest.
 */
export interface Comparison extends Pick<ReconcileReport, "found"> {
  readonly added: readonly string[];
  readonly changed: readonly string[];
  readonly removed: readonly string[];
}

/** Input of a stock tool. */
export interface NativeText {
  /** The command that reads the text from standard input: `nft -f -`. */
  readonly command: string;
  readonly text: string;
}

/**
 * Receives a foreign change.
 * @param what describes the change for the log.
 * @param program name of the program that made it; undefined if the kernel does not tell.
 */
export type OnForeignChange = (what: string, program?: string) => void;

/** Listening sockets by name. They outlive the process that opened them, if another process or the service manager has them, too. */
export type NamedSockets = Readonly<Record<string, number>>;

/** The end of a process that carries connections. */
export interface Draining {
  /** Resolves with the number of connections that were reset because they had not ended in time. */
  readonly ended: Promise<number>;
}

/**
 * Makes the kernel forward connections to services. The sync loop is the only caller of `reconcile` and `apply`. It
 * makes one call at a time, and no `apply` before the first `reconcile` has succeeded.
 */
export interface Backend extends Disposable {
  /** Value of --proxy-mode. */
  readonly mode: string;

  /**
   * State of the node once this process has ended, as the end of a message. Undefined in modes whose rules stay in force
   * and forward connections without a process.
   */
  readonly afterEnd?: string;

  /**
   * False in modes that leave connection tracking alone, because it translates none of their connections: neither its
   * settings nor its entries matter.
   */
  readonly usesConntrack?: false;

  /** Finds out by trying which features the kernel and our privileges allow. Leaves nothing programmed. */
  probe(): Promise<readonly Requirement[]>;

  /**
   * Applies the settings of the node that the mode needs and that may take more privileges than its rules, such as
   * sysctls, for --init-only. `reconcile` applies them, too. Undefined in modes without such settings.
   * @param localhostNodePorts node ports are to answer on loopback addresses.
   * @returns warnings about those that could not be applied, each with what to do about it.
   */
  prepareNode?(localhostNodePorts: boolean): Promise<readonly string[]>;

  /**
   * Makes the kernel equal to `desired`, whatever it holds now, atomically and without disturbing traffic. The first
   * programming, the takeover from a previous run or from kube-proxy, and every repair are this one call.
   * The settings stay in force for later `apply` calls.
   * @throws BackendError and then nothing has changed.
   */
  reconcile(desired: DesiredState): Promise<ReconcileReport>;

  /**
   * Reads the kernel and describes what `reconcile` would change. Changes nothing. For a backend that has not yet
   * reconciled.
   * @throws BackendError when the kernel cannot be read.
   */
  compare(desired: DesiredState): Promise<Comparison>;

  /**
   * Programs plan changes, in one kernel transaction where the kernel has transactions. The `old` plan of a change is
   * the one that the last successful `apply` or `reconcile` programmed for the key. Additions come before removals.
   * @returns warnings about parts of the changes that the node does not allow, each with what to do about it; nothing if
   * there are none.
   * @throws BackendError and then nothing has changed.
   */
  apply(changes: readonly PlanChange[]): Promise<readonly string[] | void>;

  /**
   * Calls back, after the first reconcile, when another program changed or removed our kernel objects.
   */
  watch(onForeignChange: OnForeignChange): Disposable;

  /**
   * Serves TCP node ports on loopback addresses from this process, for a kernel that cannot translate them there
   * (docs/behaviour.md §5.2). Called before the first reconcile. Undefined in modes that do not do this.
   */
  serveLocalhostNodePorts?(options: LocalhostOptions): Follower & Disposable;

  /**
   * Sockets of this process that the rules in force lead to. Undefined in modes whose rules lead to endpoints.
   */
  relaySockets?(): readonly RelaySocket[];

  /** The connections of the relay; undefined while none runs, and in modes without one. */
  relayState?(): Promise<RelayState | undefined>;

  /**
   * The loopback addresses that Services are served on; undefined if there are none. Undefined in other modes.
   * @param limit maximum length of each list.
   */
  loopbackState?(limit: number): LoopbackState | undefined;

  /**
   * The node ports that this process could not listen on. Undefined in modes where the kernel leads node ports to
   * endpoints.
   * @param limit maximum length of the list.
   */
  unservedNodePorts?(limit: number): UnservedNodePorts;

  /** Logs what happens between the calls. Undefined in modes whose kernel objects work alone. */
  logTo?(log: Pick<Log, "warn">): void;

  /** Reports the transactions to come. Undefined in modes that have none. */
  observeTransactions?(observer: TransactionObserver): void;

  /**
   * Reads the traffic counters from the kernel, at the moment of a scrape or of a status request. May be called while
   * another call is in progress, except another `traffic`. Nothing is counted before the first reconcile, and without
   * `NodeSettings.trafficMetrics`.
   * @param plans the plans in force, which the counters belong to.
   * @throws BackendError if the kernel cannot be read.
   */
  traffic?(plans: ReadonlyMap<PlanKey, ServicePortPlan>): Promise<TrafficCounters>;

  /**
   * Parts of a service port in force that this node does not serve, for example because there is no room for them. In
   * addition to those that follow from its plan (`ModeTraits.limitationsOf`). Undefined in modes without such parts.
   */
  limitationsOf?(key: PlanKey): readonly Limitation[];

  /** Metrics that only this mode has. */
  metrics?(): Promise<readonly BackendMetric[]>;

  /**
   * Uses the sockets that an earlier process listened on, instead of opening others. Called before the first reconcile.
   * Closes those that it does not use. Undefined in modes that listen for no clients.
   */
  inheritSockets?(sockets: NamedSockets): void;

  /**
   * Returns the sockets that the service manager should keep for the next process: the same object while they are the
   * same. Called after each sync that has succeeded.
   */
  socketsToKeep?(): NamedSockets;

  /**
   * Lets the connections that go through this process finish, for a limited time. Called after the last `apply`. From
   * the moment that it resolves, another process can take over. Undefined in modes whose connections do not end with the
   * process.
   * @param isAwaited another process waits for the end of this one.
   */
  drain?(isAwaited: boolean): Promise<Draining>;

  /**
   * Removes all kernel objects of this mode, ours and kube-proxy's. A missing object is no error.
   * @returns warnings about connections that end with them, each with what to do about it; nothing if there are none.
   * @throws StillInUse when only objects remain that other programs use.
   * @throws BackendError that names what could not be removed.
   */
  cleanup(): Promise<readonly string[] | void>;

  /**
   * Returns the desired state as input of the stock tools, such as nft. Uses neither the kernel nor a privilege.
   * Undefined in modes whose objects no tool reads as text.
   */
  nativeText?(desired: DesiredState): readonly NativeText[];

  /**
   * Describes the kernel objects of this mode, ours and kube-proxy's: those that `cleanup` would remove. Changes
   * nothing. Empty if there are none, also on a kernel that cannot have any.
   */
  leftovers(): Promise<readonly string[]>;

  /**
   * Removes kube-proxy's objects of this mode that this mode does not use. Called when no other mode needs them any
   * more. Undefined in modes that use or replace all of kube-proxy's objects.
   * @throws BackendError that names what could not be removed.
   */
  cleanUpLeftovers?(): Promise<void>;
}

/** The kernel rejected a request. The message is for operators. */
export class BackendError extends Error {
  override readonly name = "BackendError";
  constructor(
    message: string,
    /** Service ports that the rejection names; empty when it names none. */
    readonly rejectedKeys: readonly PlanKey[] = [],
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** This process lacks the privilege for a request. */
export class NotPermitted extends BackendError {}

/** Everything was removed except objects that other programs use. The message names the objects and their users. */
export class StillInUse extends BackendError {}
