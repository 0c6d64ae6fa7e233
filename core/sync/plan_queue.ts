import type { PlanChange } from "../backend/contract.ts";
import type { ModelObject, ObjectRef } from "../objects/objects.ts";
import { Store, type StoreChange } from "../objects/store.ts";
import type { Log } from "../observe/log.ts";
import type { ServiceWarning } from "../source.ts";
import type { Family } from "../net/protocol.ts";
import type { PlanKey, ServicePortPlan } from "../plan/plan.ts";
import { samePlanOrNone } from "../plan/same_plan.ts";
import { AppliedPlans, type LocalPolicyCounts } from "./applied_plans.ts";
import { Batch, type BatchLedger, type TriggerTime } from "./batch.ts";
import { DesiredPlans, serviceOf } from "./desired_plans.ts";
import { compareViews, NO_VIEW, type NodeView, type NodeViewDifference } from "./node_view.ts";
import { type RejectedPort, RetrySchedule } from "./retry_schedule.ts";
import { WaitingChanges } from "./waiting_changes.ts";

/**
 * Turns objects that changed into batches of plan changes: the difference between the desired plans and those
 * in force. One batch is in flight at a time.
 */
export class PlanQueue {
  readonly store: Store;
  readonly #desired: DesiredPlans;
  readonly #applied = new AppliedPlans();
  readonly #retries = new RetrySchedule();
  readonly #waiting = new WaitingChanges();
  readonly #startedAt = Date.now();
  #view: NodeView = NO_VIEW;
  #triggerTimes: TriggerTime[] = [];
  #inFlight: Batch | undefined;

  /** @param warn tells the owner of a Service about a problem. */
  constructor(nodeName: string, log: Log, warn: (warning: ServiceWarning) => void = () => {}) {
    this.store = new Store(nodeName);
    this.#desired = new DesiredPlans(this.store, log, warn);
  }

  upsert(object: ModelObject): StoreChange {
    const change = this.store.upsert(object);
    if (
      object.kind === "EndpointSlice" && object.triggerTime > this.#startedAt && change.services.length > 0
    ) {
      this.#triggerTimes.push({ family: object.family, time: object.triggerTime });
    }
    return this.#note(object.kind, change);
  }

  delete(ref: ObjectRef): StoreChange {
    return this.#note(ref.kind, this.store.delete(ref));
  }

  get view(): NodeView {
    return this.#view;
  }

  /**
   * Replaces what is known of this node. When the planning context differs, every service is planned again.
   * Other settings change no plan: the backend has to reconcile with them.
   * @returns what differs from the view before.
   */
  setView(view: NodeView): NodeViewDifference {
    const difference = compareViews(this.#view, view);
    const { settings, nodePortAddresses } = this.#view;
    // Equal parts keep their identity, because observers compare by it.
    this.#view = {
      context: view.context,
      settings: difference.settings ? view.settings : settings,
      nodePortAddresses: difference.nodePortAddresses ? view.nodePortAddresses : nodePortAddresses,
      gaps: view.gaps,
    };
    if (difference.context) this.#desired.markDirty(this.store.serviceNames());
    return difference;
  }

  /** The plans in force: the live map, not a copy. */
  get applied(): ReadonlyMap<PlanKey, ServicePortPlan> {
    return this.#applied.plans;
  }

  /** Service ports in force with a Local policy and endpoints, but none on this node. */
  noLocalEndpoints(family: Family): LocalPolicyCounts {
    return this.#applied.noLocalEndpoints(family);
  }

  /** Number of frontends that services claim and other services have. */
  get conflicts(): number {
    return this.#desired.conflicts;
  }

  /** Number of changes of objects that are not in force yet. */
  get waiting(): { readonly services: number; readonly endpoints: number } {
    return this.#waiting;
  }

  /** Time of the next retry of a rejected plan, in milliseconds of performance.now(); Infinity for never. */
  get nextRetryMs(): number {
    return this.#retries.nextMs;
  }

  /** Service ports that the kernel rejects. */
  get rejections(): { readonly size: number; has(key: PlanKey): boolean; ports(): Generator<RejectedPort> } {
    return this.#retries;
  }

  /** Number of frontends that this service claims and other services have. */
  conflictsOf(service: string): number {
    return this.#desired.conflictsOf(service);
  }

  /**
   * Time since which the kernel rejects a plan of this family, in milliseconds of performance.now(); undefined
   * when it rejects none.
   */
  rejectedSince(family: Family): number | undefined {
    return this.#retries.sinceMs(family);
  }

  /**
   * Plans what is dirty. The batch has to be closed before the next one is taken.
   * @throws Error while a batch is in flight.
   */
  take(): Batch {
    if (this.#inFlight !== undefined) throw new Error("the previous batch is still in flight");
    this.#waiting.take();
    const changes = this.#planChanges(performance.now());
    const triggerTimes = this.#triggerTimes;
    this.#triggerTimes = [];
    const healthChecks = this.#desired.takeHealthChecks();
    this.#inFlight = new Batch({ changes, triggerTimes, healthChecks }, this.#ledger);
    return this.#inFlight;
  }

  #note(kind: ModelObject["kind"], change: StoreChange): StoreChange {
    this.#waiting.add(kind, change);
    this.#desired.markDirty(change.services);
    return change;
  }

  #planChanges(nowMs: number): readonly PlanChange[] {
    this.#desired.markDirty(this.#retries.dueServices(nowMs));
    const changes: PlanChange[] = [];
    for (const [key, plan] of this.#desired.plan(this.#view.context)) {
      const old = this.#applied.get(key);
      if (samePlanOrNone(old, plan)) this.#retries.delete(key);
      else if (!this.#retries.postpones(key, plan, nowMs)) changes.push({ key, old, new: plan });
    }
    // Losses first: a frontend that moves from one service to another is free before it is claimed.
    return changes.sort((a, b) => Number(gainsOrKeeps(a)) - Number(gainsOrKeeps(b)));
  }

  readonly #ledger: BatchLedger = {
    accepted: (changes) => {
      this.#applied.apply(changes);
      for (const { key } of changes) this.#retries.delete(key);
    },
    rejected: (change, reason) => {
      this.#desired.keep(change);
      this.#retries.add(change, serviceOf(change), performance.now(), reason);
    },
    putBack: (change) => {
      this.#desired.keep(change);
      this.#desired.markDirty([serviceOf(change)]);
    },
    replacedAll: (plans) => {
      this.#applied.replaceAll(plans);
      this.#retries.deleteApplied(plans);
    },
    closed: (batch, isComplete) => {
      this.#inFlight = undefined;
      if (isComplete) this.#waiting.complete();
      else this.#desired.putBackHealthChecks(batch.healthChecks);
    },
  };
}

/** False for a service port that goes away or loses frontends. */
function gainsOrKeeps({ old, new: next }: PlanChange): boolean {
  return next !== undefined && next.frontends.length >= (old?.frontends.length ?? 0);
}
