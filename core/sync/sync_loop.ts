import type { Backend, InForce, PlanChange } from "../backend/contract.ts";
import { reconcileAction } from "../backend/reconcile_action.ts";
import type { HealthCheckChanges } from "../plan/health_check.ts";
import type { PlanKey, ServicePortPlan } from "../plan/plan.ts";
import type { Log } from "../observe/log.ts";
import type { Planning, TriggerTime } from "./plan_queue.ts";
import { applySplitting, refusalOf } from "./bisect.ts";
import { delay, Wakeup } from "../async/wakeup.ts";

export interface SyncLoopOptions {
  readonly backend: Backend;
  readonly planning: Planning;
  readonly observer: SyncObserver;
  /** Told what is in force after each success of the backend; the next sync waits until it returns. */
  readonly afterSync?: (inForce: InForce) => void;
  readonly log: Log;
  /** Least time between the starts of two syncs in milliseconds; 0 for none. */
  readonly minSyncPeriodMs: number;
  /** Longest delay before a failed sync is tried again, in milliseconds. */
  readonly syncPeriodMs: number;
}

/** Told about every sync: feeds metrics and health. */
export interface SyncObserver {
  /** Something changed that a sync has to make real. */
  queued(): void;
  synced(sync: Sync): void;
  /** After every sync, also one that had nothing to do: see `Planning.complete`. */
  healthChecks(changed: HealthCheckChanges): void;
  /** All that was queued is in force; comes after `synced`, or alone when nothing had to be done. */
  settled(): void;
  /** A sync, or one service port of it, was refused. */
  failed(sync: Pick<Sync, "full">): void;
}

export interface Sync {
  /** Whole table (reconcile) or only what changed (apply). */
  readonly full: boolean;
  readonly seconds: number;
  readonly changes: number;
  /** Of the endpoint changes that are in force now. */
  readonly triggerTimes: readonly TriggerTime[];
}

/** A cluster that rests is still compared with the kernel this often. */
const FULL_SYNC_PERIOD_MS = 3_600_000;
/** First delay after a failed sync; doubles up to the sync period. */
const FIRST_RETRY_MS = 100;
/** After so many failed syncs in a row the next one is a reconcile: what we believe of the kernel may be wrong. */
const FAILURES_BEFORE_RECONCILE = 3;
/** Repairs of foreign changes start at least this far apart, so that two programs that fight do not eat the node. */
const REPAIR_SPACING_MS = 500;

/**
 * Makes the kernel follow the plans. Changes that arrive while a batch is in flight are the next batch; an idle
 * loop starts at once.
 */
export class SyncLoop {
  readonly #options: SyncLoopOptions;
  readonly #wakeup = new Wakeup();
  #reconcileReason: string | undefined;
  #failures = 0;
  #lastFullSync = 0;
  #hasReconciled = false;

  constructor(options: SyncLoopOptions) {
    this.#options = options;
  }

  /** Something is dirty in the planning. */
  changed(): void {
    this.#options.observer.queued();
    this.#wakeup.wake();
  }

  /** The kernel may not hold what we believe: compare or refill everything. */
  reconcile(reason: string): void {
    this.#reconcileReason ??= reason;
    this.changed();
  }

  /** Syncs until the signal aborts; the first sync is a reconcile. Rules stay in force when it ends. */
  async run(signal: AbortSignal): Promise<void> {
    signal.addEventListener("abort", () => this.#wakeup.wake(), { once: true });
    this.#reconcileReason ??= "start";
    while (!signal.aborted) {
      const started = performance.now();
      await this.#sync();
      await this.#rest(started, signal);
    }
  }

  /** Waits for the next change, the retry of a failure or the hourly comparison, and then for the rate limit. */
  async #rest(started: number, signal: AbortSignal): Promise<void> {
    const { planning, minSyncPeriodMs, syncPeriodMs } = this.#options;
    if (this.#failures > 0) {
      await delay(Math.min(FIRST_RETRY_MS * 2 ** (this.#failures - 1), syncPeriodMs), signal);
      if (this.#failures >= FAILURES_BEFORE_RECONCILE) this.#reconcileReason ??= "repeated failures";
    } else {
      const hourly = this.#lastFullSync + FULL_SYNC_PERIOD_MS;
      await this.#wakeup.waitUntil(Math.min(hourly, planning.nextRetry()));
      if (performance.now() >= hourly) this.#reconcileReason ??= "hourly";
    }
    await delay(started + minSyncPeriodMs - performance.now(), signal);
    if (this.#reconcileReason !== undefined) {
      await delay(this.#lastFullSync + REPAIR_SPACING_MS - performance.now(), signal);
    }
  }

  async #sync(): Promise<void> {
    const { planning, observer, log } = this.#options;
    const reason = this.#reconcileReason;
    this.#reconcileReason = undefined;
    const changes = planning.takeChanges();
    const triggerTimes = planning.takeTriggerTimes();
    if (reason === undefined && changes.length === 0) {
      observer.healthChecks(planning.complete());
      observer.settled();
      return;
    }
    const started = performance.now();
    const done = reason === undefined
      ? await this.#apply(changes)
      : await this.#reconcileAll(reason, changes);
    const seconds = (performance.now() - started) / 1000;
    if (done) {
      this.#failures = 0;
      if (reason !== undefined) this.#lastFullSync = performance.now();
      observer.healthChecks(planning.complete());
      observer.synced({ full: reason !== undefined, seconds, changes: changes.length, triggerTimes });
      // What came in while the batch was in flight is still to be done.
      if (planning.pending === 0) observer.settled();
      log.info("Synced", { changes: changes.length, seconds: Number(seconds.toFixed(6)) }, 2);
    } else {
      this.#failures++;
      observer.failed({ full: reason !== undefined });
    }
  }

  /** True when everything is in force but what the kernel refuses for its own sake. */
  async #apply(changes: readonly PlanChange[]): Promise<boolean> {
    const { backend, planning } = this.#options;
    const outcome = await applySplitting(backend, changes);
    planning.accept(outcome.applied);
    if (outcome.applied.length > 0) this.#afterSync(outcome.applied, false);
    for (const { change, error } of outcome.refused) this.#refuse(change, error, { full: false });
    planning.putBack(outcome.untried);
    return outcome.untried.length === 0;
  }

  async #reconcileAll(reason: string, changes: readonly PlanChange[]): Promise<boolean> {
    const { backend, planning, log } = this.#options;
    const plans = new Map(planning.applied);
    for (const change of changes) {
      if (change.new === undefined) plans.delete(change.key);
      else plans.set(change.key, change.new);
    }
    for (;;) {
      try {
        const report = await backend.reconcile({ settings: planning.view.settings, plans });
        const action = reconcileAction(report, !this.#hasReconciled);
        this.#hasReconciled = true;
        planning.replaceApplied(plans);
        this.#afterSync(changes, true);
        for (const warning of report.warnings ?? []) log.warn(warning);
        log.info("Reconciled the kernel with the plans", {
          reason,
          action,
          services: plans.size,
          ...(report.differences.length > 0 ? { differences: report.differences } : {}),
        });
        return true;
      } catch (cause) {
        const error = refusalOf(cause);
        const culprits = error.rejectedKeys.filter((key) => plans.has(key));
        if (culprits.length === 0) {
          log.error("Sync failed; what was in force stays in force", { reason, error: error.message });
          planning.putBack(changes);
          this.#reconcileReason ??= reason;
          return false;
        }
        for (const key of culprits) this.#dropOrRevert(plans, key, error);
      }
    }
  }

  #afterSync(changes: readonly PlanChange[], full: boolean): void {
    const { planning, afterSync } = this.#options;
    afterSync?.({ desired: { settings: planning.view.settings, plans: planning.applied }, changes, full });
  }

  /** A refused plan gives way to the one in force before; when that one is refused as well, to none. */
  #dropOrRevert(plans: Map<PlanKey, ServicePortPlan>, key: PlanKey, error: Error): void {
    const { planning } = this.#options;
    const refused = plans.get(key);
    const before = planning.applied.get(key);
    if (before === undefined || before === refused) plans.delete(key);
    else plans.set(key, before);
    this.#refuse({ key, old: before, new: refused }, error, { full: true });
  }

  #refuse(change: PlanChange, error: Error, sync: Pick<Sync, "full">): void {
    const { log, observer, planning } = this.#options;
    log.error("The kernel refused a service port; the others are in force", {
      servicePort: change.key,
      error: error.message,
    });
    observer.failed(sync);
    planning.refuse(change);
  }
}
