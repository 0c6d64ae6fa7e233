import type { DesiredState, PlanKey, ServicePortPlan } from "../plan/plan.ts";

export type ProxyMode = "nftables" | "iptables" | "ipvs" | "ebpf";

/** One service port whose plan changed: `old` undefined when it is new, `new` undefined when it is gone. */
export interface PlanChange {
  readonly key: PlanKey;
  readonly old: ServicePortPlan | undefined;
  readonly new: ServicePortPlan | undefined;
}

/** What is in force after a sync, for who has to follow it. */
export interface InForce {
  readonly desired: DesiredState;
  /** What became of it with this sync. */
  readonly changes: readonly PlanChange[];
  /** The kernel was made equal to everything, whatever it held: not only the changes may be new to it. */
  readonly full: boolean;
}

/** Something the mode needs of the node, mostly of its kernel and of our privileges. */
export interface Requirement {
  /** In the operator's words: "nf_tables in the kernel", "CAP_NET_ADMIN". */
  readonly name: string;
  readonly found: boolean;
  /** Why we say so, and when it is missing how to get it. */
  readonly detail: string;
  /** The mode works without it: its `detail` is for the log of every start, or only for who asks. */
  readonly ifMissing?: "warn" | "ignore";
}

/** A number of a mode's own for the metrics endpoint, as it is when it is asked for. */
export interface BackendMetric {
  /** Upstream's, without its prefix `kubeproxy_`. */
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "gauge";
  readonly labels: readonly string[];
  /** Their labels are in the order of `labels`. */
  readonly samples: readonly { readonly labels: readonly string[]; readonly value: number }[];
}

/** New connections, packets and bytes since the service port was first programmed. */
export interface TrafficCounters {
  readonly connections: number;
  readonly packets: number;
  readonly bytes: number;
}

/** What a reconcile found different from the desired state, as far as it can be told. */
export interface ReconcileReport {
  /** How the kernel was made equal: "created" from nothing, "took over" what another process left, "refilled", "repaired", "compared". */
  readonly action: string;
  /** Kernel objects that were wrong or missing, in words; empty when the mode refills without reading back. */
  readonly differences: readonly string[];
  /** What of the desired state the node does not allow, and what to do about it. */
  readonly warnings?: readonly string[];
}

/**
 * A way to make the kernel forward services. The sync loop is its one caller, and never calls `apply` or
 * `reconcile` while one of them is in flight.
 */
export interface Backend extends Disposable {
  readonly mode: ProxyMode;

  /** What this kernel and these privileges allow, found by trying. Programs nothing that stays. */
  probe(): Promise<readonly Requirement[]>;

  /**
   * Makes the kernel equal to `desired` whatever it holds now, atomically and unseen by traffic: the first
   * programming, the take-over of what a previous run or upstream left, and the repair are all this call.
   * Settings stay in force for later `apply` calls.
   * @throws BackendError and then nothing has changed.
   */
  reconcile(desired: DesiredState): Promise<ReconcileReport>;

  /**
   * Makes plan changes real, in one kernel transaction where the kernel has one. A change's `old` is what the last
   * successful `apply` or `reconcile` made of that key. Adding comes before removing.
   * @throws BackendError and then nothing has changed.
   */
  apply(changes: readonly PlanChange[]): Promise<void>;

  /** Calls back, after the first reconcile, when someone else changed or removed our objects. `what` is for the log. */
  watch(onForeignChange: (what: string) => void): Disposable;

  /** Counters per service port; empty where the mode does not count. */
  traffic(): Promise<ReadonlyMap<PlanKey, TrafficCounters>>;

  /** What only this mode counts; a mode that has nothing of the kind leaves it out. */
  metrics?(): Promise<readonly BackendMetric[]>;

  /**
   * Removes everything of this mode, ours and upstream's. What is missing is no error.
   * @throws BackendError that says what is still there.
   */
  cleanup(): Promise<void>;

  /**
   * Removes what upstream in this mode leaves that this mode does not use, once nothing of the other modes needs it
   * any more. A mode that uses or replaces all of it leaves this out.
   * @throws BackendError that says what is still there.
   */
  cleanUpLeftovers?(): Promise<void>;
}

/** A refusal by the kernel, in the operator's words. */
export class BackendError extends Error {
  override readonly name = "BackendError";
  constructor(
    message: string,
    /** Service ports the refusal names; empty when it cannot be told. */
    readonly culprits: readonly PlanKey[] = [],
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}
