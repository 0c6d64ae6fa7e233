import {
  type Backend,
  BackendError,
  type PlanChange,
  type ReconcileReport,
} from "../../../core/backend/contract.ts";
import type { DesiredState, PlanKey, ServicePortPlan } from "../../../core/plan/plan.ts";
import { samePlan } from "../../../core/plan/same_plan.ts";

/** What a test lets the kernel refuse: an error, or undefined to accept. */
export type Refuse = (plans: readonly ServicePortPlan[]) => BackendError | undefined;

/** A backend whose kernel is a map. It holds callers to the contract of core/backend/contract.ts. */
export class MapBackend implements Backend {
  readonly mode = "nftables";
  readonly inForce = new Map<PlanKey, ServicePortPlan>();
  readonly calls: string[] = [];
  /** Of each reconcile. */
  warnings: readonly string[] = [];
  refuse: Refuse = () => undefined;
  /** Awaited inside every call, so that a test can hold one in flight. */
  gate: Promise<void> = Promise.resolve();
  #busy = false;

  apply(changes: readonly PlanChange[]): Promise<void> {
    return this.#exclusively(`apply ${changes.length}`, () => {
      this.#refuseIfAsked(changes.flatMap((change) => change.new ?? []));
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
      this.#refuseIfAsked([...desired.plans.values()]);
      this.inForce.clear();
      for (const [key, plan] of desired.plans) this.inForce.set(key, plan);
      return { found: "ours", differences: [], compared: "part", warnings: this.warnings };
    });
  }

  probe = () => Promise.resolve([]);
  watch = () => ({ [Symbol.dispose]() {} });
  cleanup = () => Promise.resolve();
  [Symbol.dispose]() {}

  #refuseIfAsked(plans: readonly ServicePortPlan[]): void {
    const error = this.refuse(plans);
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

/** Refuses every set of plans that has one of these services in it. */
export function refuseServices(names: readonly string[], options: { readonly named: boolean }): Refuse {
  return (plans) => {
    const guilty = plans.filter((plan) => names.includes(plan.name)).map((plan) => plan.key);
    return guilty.length === 0 ? undefined : new BackendError("EINVAL", options.named ? guilty : []);
  };
}
