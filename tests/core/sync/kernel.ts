import {
  type Backend,
  BackendError,
  type Comparison,
  type PlanChange,
  type ReconcileReport,
} from "../../../core/backend/contract.ts";
import type { DesiredState, PlanKey, ServicePortPlan } from "../../../core/plan/plan.ts";
import { samePlan } from "../../../core/plan/same_plan.ts";

/** Decides what the kernel rejects: returns an error, or undefined to accept. */
export type Reject = (plans: readonly ServicePortPlan[]) => BackendError | undefined;

/** A backend whose kernel is a map. It checks that callers keep the contract of core/backend/contract.ts. */
export class MapBackend implements Backend {
  readonly mode = "nftables";
  readonly inForce = new Map<PlanKey, ServicePortPlan>();
  readonly calls: string[] = [];
  /** Warnings of each reconcile. */
  warnings: readonly string[] = [];
  /** Differences that the next reconcile finds. */
  differences: readonly string[] = [];
  reject: Reject = () => undefined;
  /** Awaited inside every call, so that a test can hold one in flight. */
  gate: Promise<void> = Promise.resolve();
  #busy = false;

  apply(changes: readonly PlanChange[]): Promise<void> {
    return this.#exclusively(`apply ${changes.length}`, () => {
      this.#rejectIfConfigured(changes.flatMap((change) => change.new ?? []));
      for (const { key, old, new: plan } of changes) {
        const before = this.inForce.get(key);
        if (old !== before && (old === undefined || before === undefined || !samePlan(old, before))) {
          throw new Error(`${key}: the change does not start from what is in force`);
        }
        if (plan === undefined) this.inForce.delete(key);
        else this.inForce.set(key, plan);
      }
    });
  }

  reconcile(desired: DesiredState): Promise<ReconcileReport> {
    return this.#exclusively(`reconcile ${desired.plans.size}`, () => {
      this.#rejectIfConfigured([...desired.plans.values()]);
      this.inForce.clear();
      for (const [key, plan] of desired.plans) this.inForce.set(key, plan);
      return { found: "ours", differences: this.differences, compared: "part", warnings: this.warnings };
    });
  }

  compare(desired: DesiredState): Promise<Comparison> {
    const added = [...desired.plans.keys()].filter((key) => !this.inForce.has(key));
    const removed = [...this.inForce.keys()].filter((key) => !desired.plans.has(key));
    return Promise.resolve({ found: "ours", added, changed: [], removed });
  }

  leftovers(): Promise<readonly string[]> {
    return Promise.resolve([...this.inForce.keys()]);
  }

  probe = () => Promise.resolve([]);
  watch = () => ({ [Symbol.dispose]() {} });
  cleanup = () => Promise.resolve();
  [Symbol.dispose]() {}

  #rejectIfConfigured(plans: readonly ServicePortPlan[]): void {
    const error = this.reject(plans);
    if (error !== undefined) throw error;
  }

  async #exclusively<T>(call: string, action: () => T): Promise<T> {
    if (this.#busy) throw new Error(`${call} while another call is in flight`);
    this.#busy = true;
    this.calls.push(call);
    try {
      await this.gate;
      return action();
    } finally {
      this.#busy = false;
    }
  }
}

/** Rejects every set of plans that contains one of these services. */
export function rejectServices(names: readonly string[], options: { readonly named: boolean }): Reject {
  return (plans) => {
    const bad = plans.filter((plan) => names.includes(plan.name)).map((plan) => plan.key);
    return bad.length === 0 ? undefined : new BackendError("EINVAL", options.named ? bad : []);
  };
}
