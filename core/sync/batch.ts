import type { PlanChange } from "../backend/contract.ts";
import type { Family } from "../net/protocol.ts";
import type { HealthCheckChanges } from "../plan/health_check.ts";
import type { PlanKey, ServicePortPlan } from "../plan/plan.ts";

/** Time at which the change of an EndpointSlice was triggered, in milliseconds since the epoch. */
export interface TriggerTime {
  readonly family: Family;
  readonly time: number;
}

/** The queue's side of a batch: records what happened to the changes. */
export interface BatchLedger {
  accepted(changes: readonly PlanChange[]): void;
  rejected(change: PlanChange, reason: string): void;
  putBack(change: PlanChange): void;
  replacedAll(plans: Map<PlanKey, ServicePortPlan>): void;
  closed(batch: Batch, isComplete: boolean): void;
}

export interface BatchContents {
  /** Differences between the desired plans and the plans in force. Removals and losses of frontends come first. */
  readonly changes: readonly PlanChange[];
  /** Trigger times of the endpoint changes that this batch puts in force. */
  readonly triggerTimes: readonly TriggerTime[];
  /** Health checks that changed, to be served once the batch is complete. */
  readonly healthChecks: HealthCheckChanges;
}

/**
 * One sync's worth of changes. Each change has to be accounted for exactly once before `close`: accepted,
 * rejected, put back, or part of the plans of `replaceAll`.
 */
export class Batch implements BatchContents {
  readonly changes: readonly PlanChange[];
  readonly triggerTimes: readonly TriggerTime[];
  readonly healthChecks: HealthCheckChanges;
  readonly #ledger: BatchLedger;
  readonly #open: Map<PlanKey, PlanChange>;
  #isComplete = true;
  #isClosed = false;

  constructor({ changes, triggerTimes, healthChecks }: BatchContents, ledger: BatchLedger) {
    this.changes = changes;
    this.triggerTimes = triggerTimes;
    this.healthChecks = healthChecks;
    this.#ledger = ledger;
    this.#open = new Map(changes.map((change) => [change.key, change]));
  }

  /** Changes that are not accounted for yet. */
  get open(): readonly PlanChange[] {
    return [...this.#open.values()];
  }

  /** These changes are in force. */
  accept(changes: readonly PlanChange[]): void {
    for (const change of changes) this.#account(change);
    this.#ledger.accepted(changes);
  }

  /**
   * The kernel rejected this change: it waits until the plan changes or a growing delay has passed.
   * @param reason of the kernel, for operators.
   */
  reject(change: PlanChange, reason = ""): void {
    this.#account(change);
    this.#ledger.rejected(change, reason);
  }

  /**
   * The kernel rejected, during a reconcile, a plan that was in force. It is no change of this batch, and
   * waits like a rejected change.
   */
  rejectInForce(plan: ServicePortPlan, reason = ""): void {
    this.#assertOpen();
    this.#ledger.rejected({ key: plan.key, old: plan, new: plan }, reason);
  }

  /**
   * The sync failed before these changes were tried to the end. They are part of the next batch, and so are
   * the health checks. May be empty.
   */
  putBack(changes: readonly PlanChange[]): void {
    this.#assertOpen();
    this.#isComplete = false;
    for (const change of changes) {
      this.#account(change);
      this.#ledger.putBack(change);
    }
  }

  /**
   * Exactly these plans are in force, after a reconcile. They account for all changes that are still open.
   */
  replaceAll(plans: Map<PlanKey, ServicePortPlan>): void {
    for (const change of this.open) {
      if (plans.get(change.key) === change.new) this.#account(change);
    }
    this.#ledger.replacedAll(plans);
  }

  /**
   * Ends the batch; the queue can be asked for the next one.
   * @returns true when everything is in force, except for what the kernel rejected.
   * @throws Error when a change is not accounted for.
   */
  close(): boolean {
    this.#assertOpen();
    const [key] = this.#open.keys();
    if (key !== undefined) {
      throw new Error(`changes of the batch are not accounted for: ${this.#open.size}, the first of ${key}`);
    }
    this.#isClosed = true;
    this.#ledger.closed(this, this.#isComplete);
    return this.#isComplete;
  }

  #account({ key }: PlanChange): void {
    this.#assertOpen();
    if (!this.#open.delete(key)) {
      throw new Error(`the change of ${key} is already accounted for, or not part of the batch`);
    }
  }

  #assertOpen(): void {
    if (this.#isClosed) throw new Error("the batch is closed");
  }
}
