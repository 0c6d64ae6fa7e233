import { turns } from "../async/turns.ts";
import { delay, Wakeup } from "../async/wakeup.ts";
import type { Backend, InForce, PlanChange } from "../backend/contract.ts";
import { reconcileAction } from "../backend/reconcile_action.ts";
import type { Log } from "../observe/log.ts";
import type { HealthCheckChanges } from "../plan/health_check.ts";
import type { PlanKey, ServicePortPlan } from "../plan/plan.ts";
import type { Batch, TriggerTime } from "./batch.ts";
import { applyBisecting, rejectionOf } from "./bisect.ts";
import type { PlanQueue } from "./plan_queue.ts";
import { RepairBackoff } from "./repair_backoff.ts";

export interface SyncLoopOptions {
  readonly backend: Backend;
  readonly queue: PlanQueue;
  readonly observer: SyncObserver;
  /** Called with what is in force after each success of the backend. The next sync waits until it returns. */
  readonly afterSync?: (inForce: InForce) => void;
  /** Decides when foreign changes are repaired; the seam for tests. */
  readonly repairs?: RepairBackoff;
  readonly log: Log;
  /** Minimum time between the starts of two syncs; 0 for none. */
  readonly minSyncPeriodMs: number;
  /** Maximum delay before a failed sync is tried again. */
  readonly syncPeriodMs: number;
}

/** Receives the events of the sync loop: feeds metrics and health. */
export interface SyncObserver {
  /** A change was queued that a sync has to put in force. */
  queued(): void;
  /** A sync begins: it takes everything queued so far. */
  started(): void;
  synced(sync: Sync): void;
  /** Called after every sync that succeeds, also one that had nothing to do: see `Batch.healthChecks`. */
  healthChecks(changed: HealthCheckChanges): void;
  /**
   * Everything that the last sync took is in force, except for what the kernel rejected. Called after
   * `synced`, or alone when nothing had to be done.
   */
  settled(): void;
  /** A sync failed, or the kernel rejected one of its service ports. */
  failed(failure: SyncFailure): void;
  /** The sync is over, whatever its result. Called last. */
  ended(): void;
}

export interface Sync {
  /** True for a full sync (reconcile), false for a partial one (apply). */
  readonly full: boolean;
  readonly seconds: number;
  readonly changes: number;
  /** Trigger times of the endpoint changes that are in force now. */
  readonly triggerTimes: readonly TriggerTime[];
  /** Reason of a full sync. */
  readonly reason: string | undefined;
  /** The foreign change that a full sync repaired; undefined if there was none. */
  readonly repaired: string | undefined;
  /** Programs whose changes a full sync repaired. */
  readonly programs: readonly string[];
  /** Kernel objects that a full sync found wrong or missing. */
  readonly differences: number;
}

export interface SyncFailure extends Pick<Sync, "full"> {
  /** Written for operators. */
  readonly problem: string;
  /** The service port that the kernel rejected; undefined if the sync as a whole failed. */
  readonly rejected?: PlanKey;
}

/** An idle cluster is still compared with the kernel this often. */
const FULL_SYNC_PERIOD_MS = 3_600_000;
/** First delay after a failed sync; doubles up to the sync period. */
const FIRST_RETRY_MS = 100;
/**
 * After so many failed syncs in a row the next one is a reconcile, because our idea of the kernel may be
 * wrong.
 */
const FAILURES_BEFORE_RECONCILE = 3;
/** Minimum time between a full sync and the next one. */
const FULL_SYNC_SPACING_MS = 500;
/** Part of the time that full syncs may use while another program undoes them. */
const MAX_SHARE_IN_DISPUTE = 1 / 4;

/**
 * Makes the kernel follow the plans. Changes that arrive while a batch is in flight form the next batch. An
 * idle loop starts at once.
 */
export class SyncLoop {
  readonly #options: SyncLoopOptions;
  readonly #wakeup = new Wakeup();
  readonly #repairs: RepairBackoff;
  #reconcileReason: string | undefined;
  /** Work came in that must not wait for the time of the next repair. */
  #hasWork = false;
  /** The next change is put in force at once. */
  #isIdle = false;
  #failures = 0;
  #lastFullSync = 0;
  #fullSyncMs = 0;
  #hasReconciled = false;
  /** The failure that was logged last; undefined after a sync that succeeded. */
  #failure: string | undefined;
  #warnings: readonly string[] = [];

  constructor(options: SyncLoopOptions) {
    this.#options = options;
    const { syncPeriodMs: maxDelayMs, log } = options;
    this.#repairs = options.repairs ?? new RepairBackoff({ maxDelayMs, log });
  }

  /** True after a failed sync, until one succeeds. */
  get isRetrying(): boolean {
    return this.#failures > 0;
  }

  /** True while a foreign change is not repaired. */
  get isRepairWaiting(): boolean {
    return this.#repairs.isPending;
  }

  /** Wakes the loop, because services are dirty. */
  changed(): void {
    this.#hasWork = true;
    if (this.#isIdle) turns.urgent = true;
    this.#options.observer.queued();
    this.#wakeup.wake();
  }

  /** Requests a full sync, because the kernel may differ from what was last programmed. */
  reconcile(reason: string): void {
    this.#reconcileReason ??= reason;
    this.changed();
  }

  /**
   * Requests the repair of a foreign change.
   * @param program name of the program that made it; undefined if it is not known.
   */
  foreignChange(what: string, program?: string): void {
    this.#repairs.note(what, program);
    this.#options.observer.queued();
    this.#wakeup.wake();
  }

  /** Syncs until the signal aborts; the first sync is a reconcile. Rules stay in force when it ends. */
  async run(signal: AbortSignal): Promise<void> {
    signal.addEventListener("abort", () => this.#wakeup.wake(), { once: true });
    this.#reconcileReason ??= "start";
    while (!signal.aborted) {
      const started = performance.now();
      turns.urgent = true;
      await this.#sync();
      turns.urgent = false;
      this.#options.observer.ended();
      await this.#rest(started, signal);
    }
  }

  /**
   * Waits for the next change, the retry of a failure or the hourly comparison, and then for the rate limit.
   */
  async #rest(started: number, signal: AbortSignal): Promise<void> {
    const { minSyncPeriodMs, syncPeriodMs } = this.#options;
    if (this.#failures > 0) {
      await delay(Math.min(FIRST_RETRY_MS * 2 ** (this.#failures - 1), syncPeriodMs), signal);
      if (this.#failures >= FAILURES_BEFORE_RECONCILE) this.#reconcileReason ??= "repeated failures";
    } else {
      const hourly = this.#lastFullSync + FULL_SYNC_PERIOD_MS;
      await this.#untilWork(hourly, signal);
      if (performance.now() >= hourly) this.#reconcileReason ??= "hourly";
    }
    await delay(started + minSyncPeriodMs - performance.now(), signal);
    if (this.#reconcileReason !== undefined || this.#repairs.isPending) {
      await delay(this.#lastFullSync + this.#fullSyncSpacingMs - performance.now(), signal);
    }
  }

  async #untilWork(hourly: number, signal: AbortSignal): Promise<void> {
    const { queue } = this.#options;
    const repairs = this.#repairs;
    while (!signal.aborted && !this.#hasWork) {
      const dueMs = Math.min(hourly, queue.nextRetryMs, repairs.dueMs);
      if (performance.now() >= dueMs) return;
      this.#isIdle = this.#options.minSyncPeriodMs === 0;
      await this.#wakeup.waitUntil(Math.min(dueMs, repairs.quietMs));
      this.#isIdle = false;
      repairs.endDisputes();
    }
  }

  /** Changes of the cluster are put in force by full syncs as long as a repair is pending, so these stay rare, too. */
  get #fullSyncSpacingMs(): number {
    if (!this.#repairs.isInDispute) return FULL_SYNC_SPACING_MS;
    return Math.max(FULL_SYNC_SPACING_MS, this.#fullSyncMs * (1 / MAX_SHARE_IN_DISPUTE - 1));
  }

  async #sync(): Promise<void> {
    const { queue, observer, log } = this.#options;
    this.#hasWork = false;
    const repair = this.#repairs.take();
    const reason = this.#reconcileReason ?? repair;
    this.#reconcileReason = undefined;
    observer.started();
    const batch = queue.take();
    const { changes, triggerTimes, healthChecks } = batch;
    if (reason === undefined && changes.length === 0) {
      batch.close();
      observer.healthChecks(healthChecks);
      observer.settled();
      return;
    }
    const started = performance.now();
    const differences = await (reason === undefined ? this.#apply(batch) : this.#reconcileAll(reason, batch));
    const seconds = (performance.now() - started) / 1000;
    const full = reason !== undefined;
    if (!batch.close()) {
      this.#failures++;
      observer.failed({ full, problem: this.#failure ?? "the kernel rejects every change" });
      return;
    }
    this.#failures = 0;
    this.#failure = undefined;
    const { programs } = this.#repairs;
    if (full) {
      this.#repairs.repaired();
      this.#lastFullSync = performance.now();
      this.#fullSyncMs = seconds * 1000;
    }
    observer.healthChecks(healthChecks);
    const sync = { full, seconds, changes: changes.length, triggerTimes, reason, repaired: repair };
    observer.synced({ ...sync, programs, differences });
    observer.settled();
    log.info("Synced", { changes: changes.length, seconds: Number(seconds.toFixed(6)) }, 2);
  }

  /** @returns 0, because a partial sync does not compare. */
  async #apply(batch: Batch): Promise<number> {
    const { applied, rejected, untried, warnings } = await applyBisecting(
      this.#options.backend,
      batch.changes,
    );
    batch.accept(applied);
    if (applied.length > 0) this.#afterSync(applied, false);
    for (const warning of warnings) this.#options.log.warn(warning);
    for (const { change, error } of rejected) {
      batch.reject(change, error.message);
      this.#reportRejection(change.key, error, false);
    }
    if (untried.length > 0) batch.putBack(untried);
    return 0;
  }

  /** @returns the number of kernel objects that were wrong or missing. */
  async #reconcileAll(reason: string, batch: Batch): Promise<number> {
    const { backend, queue, log } = this.#options;
    const plans = changedPlans(queue.applied, batch.changes);
    for (;;) {
      try {
        const report = await backend.reconcile({ settings: queue.view.settings, plans });
        const action = reconcileAction(report, !this.#hasReconciled);
        this.#hasReconciled = true;
        batch.replaceAll(plans);
        this.#afterSync(batch.changes, true);
        this.#warn(report.warnings ?? []);
        const fields = {
          reason,
          action,
          services: plans.size,
          ...(report.differences.length > 0 ? { differences: report.differences } : {}),
        };
        // A dispute is logged when it begins and when it ends.
        log.info("Reconciled the kernel with the plans", fields, this.#repairs.isInDispute ? 2 : 0);
        return report.differences.length;
      } catch (cause) {
        const error = rejectionOf(cause);
        const rejectedKeys = new Set(error.rejectedKeys.filter((key) => plans.has(key)));
        if (rejectedKeys.size === 0) {
          // Retries that fail in the same way are counted by the metrics, not logged.
          if (this.#failure !== error.message) {
            log.error("Sync failed; the previous state stays in force", {
              reason,
              error: error.message,
            });
          }
          this.#failure = error.message;
          batch.putBack(batch.open);
          this.#reconcileReason ??= reason;
          return 0;
        }
        for (const key of rejectedKeys) {
          this.#giveWay(plans, key, batch, error.message);
          this.#reportRejection(key, error, true);
        }
      }
    }
  }

  /** Logs what the last reconcile has not warned of. */
  #warn(warnings: readonly string[]): void {
    for (const warning of warnings) if (!this.#warnings.includes(warning)) this.#options.log.warn(warning);
    this.#warnings = warnings;
  }

  /** Replaces a rejected plan by the plan in force before; when that one is rejected as well, removes it. */
  #giveWay(plans: Map<PlanKey, ServicePortPlan>, key: PlanKey, batch: Batch, reason: string): void {
    const rejected = plans.get(key);
    const inForce = this.#options.queue.applied.get(key);
    if (inForce !== undefined && inForce === rejected) {
      batch.rejectInForce(inForce, reason);
      plans.delete(key);
    } else {
      batch.reject({ key, old: inForce, new: rejected }, reason);
      if (inForce === undefined) plans.delete(key);
      else plans.set(key, inForce);
    }
  }

  #afterSync(changes: readonly PlanChange[], full: boolean): void {
    const { queue, afterSync } = this.#options;
    afterSync?.({ desired: { settings: queue.view.settings, plans: queue.applied }, changes, full });
  }

  #reportRejection(key: PlanKey, error: Error, full: boolean): void {
    const { log, observer } = this.#options;
    log.error("The kernel rejected a service port; the others are in force", {
      servicePort: key,
      error: error.message,
    });
    observer.failed({ full, problem: error.message, rejected: key });
  }
}

/** A copy of the plans in force with the changes made: a reconcile may leave some of them out. */
function changedPlans(
  applied: ReadonlyMap<PlanKey, ServicePortPlan>,
  changes: readonly PlanChange[],
): Map<PlanKey, ServicePortPlan> {
  const plans = new Map(applied);
  for (const change of changes) {
    if (change.new === undefined) plans.delete(change.key);
    else plans.set(change.key, change.new);
  }
  return plans;
}
