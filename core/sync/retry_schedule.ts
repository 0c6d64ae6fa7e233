import type { PlanChange } from "../backend/contract.ts";
import type { Family } from "../net/protocol.ts";
import type { PlanKey, ServicePortPlan } from "../plan/plan.ts";
import { samePlanOrNone } from "../plan/same_plan.ts";

const FIRST_RETRY_MS = 1_000;
const MAX_RETRY_MS = 300_000;

/** A plan that the kernel rejected; undefined for the removal of one. */
interface Rejection {
  /** `namespace/name` of the Service to plan again. */
  readonly service: string;
  readonly plan: ServicePortPlan | undefined;
  readonly family: Family | undefined;
  readonly attempts: number;
  /** Time of the first rejection since this key was last as desired, in milliseconds of performance.now(). */
  readonly sinceMs: number;
  /** Milliseconds of performance.now(). */
  readonly retryAtMs: number;
  /** Reason of the kernel, for operators. */
  readonly reason: string;
}

/** A service port that the kernel rejects. Times are milliseconds of performance.now(). */
export interface RejectedPort extends Pick<Rejection, "attempts" | "sinceMs" | "retryAtMs" | "reason"> {
  readonly key: PlanKey;
}

/**
 * Schedules retries of plans that the kernel rejected: after 1 s, then after twice the previous delay, up to
 * 5 min. A plan that changes is tried at once. Times are milliseconds of performance.now().
 */
export class RetrySchedule {
  readonly #rejections = new Map<PlanKey, Rejection>();

  /** Number of service ports that wait for a retry. */
  get size(): number {
    return this.#rejections.size;
  }

  has(key: PlanKey): boolean {
    return this.#rejections.has(key);
  }

  /** The service ports that wait for a retry, in the order of their first rejection. */
  *ports(): Generator<RejectedPort> {
    for (const [key, { attempts, sinceMs, retryAtMs, reason }] of this.#rejections) {
      yield { key, attempts, sinceMs, retryAtMs, reason };
    }
  }

  /** Time of the next retry; Infinity for none. */
  get nextMs(): number {
    let nextMs = Infinity;
    for (const { retryAtMs } of this.#rejections.values()) nextMs = Math.min(nextMs, retryAtMs);
    return nextMs;
  }

  /** Time since which a plan of this family is rejected; undefined when none is. */
  sinceMs(family: Family): number | undefined {
    let oldest: number | undefined;
    for (const rejection of this.#rejections.values()) {
      if (rejection.family === family) oldest = Math.min(oldest ?? Infinity, rejection.sinceMs);
    }
    return oldest;
  }

  /** Services with a plan that is due for a retry. */
  *dueServices(nowMs: number): Generator<string> {
    for (const { service, retryAtMs } of this.#rejections.values()) {
      if (retryAtMs <= nowMs) yield service;
    }
  }

  /** True when this very plan was rejected and is not due for a retry. */
  postpones(key: PlanKey, plan: ServicePortPlan | undefined, nowMs: number): boolean {
    const rejection = this.#rejections.get(key);
    return rejection !== undefined && rejection.retryAtMs > nowMs && samePlanOrNone(rejection.plan, plan);
  }

  /** Schedules the retry of a change that the kernel rejected. */
  add(change: PlanChange, service: string, nowMs: number, reason = ""): void {
    const before = this.#rejections.get(change.key);
    const attempts = (before?.attempts ?? 0) + 1;
    const delayMs = Math.min(FIRST_RETRY_MS * 2 ** (attempts - 1), MAX_RETRY_MS);
    this.#rejections.set(change.key, {
      service,
      plan: change.new,
      family: (change.new ?? change.old)?.family,
      attempts,
      sinceMs: before?.sinceMs ?? nowMs,
      retryAtMs: nowMs + delayMs,
      reason,
    });
  }

  delete(key: PlanKey): void {
    this.#rejections.delete(key);
  }

  /** Removes the rejections whose plan is in force after all. */
  deleteApplied(applied: ReadonlyMap<PlanKey, ServicePortPlan>): void {
    for (const [key, { plan }] of this.#rejections) {
      if (applied.get(key) === plan) this.#rejections.delete(key);
    }
  }
}
