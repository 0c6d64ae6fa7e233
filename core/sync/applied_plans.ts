import type { PlanChange } from "../backend/contract.ts";
import type { Family } from "../net/protocol.ts";
import type { PlanKey, ServicePortPlan } from "../plan/plan.ts";

/** Numbers of service ports, by the traffic policy that is Local. */
export interface LocalPolicyCounts {
  readonly internal: number;
  readonly external: number;
}

/**
 * The actual state: the plans that are in force in the kernel, and counts over them that a change keeps
 * current.
 */
export class AppliedPlans {
  #plans: Map<PlanKey, ServicePortPlan> = new Map();
  #noLocalEndpoints = noCounts();

  /** The live map, not a copy: there may be 100,000 plans. */
  get plans(): ReadonlyMap<PlanKey, ServicePortPlan> {
    return this.#plans;
  }

  get(key: PlanKey): ServicePortPlan | undefined {
    return this.#plans.get(key);
  }

  /** Records that these changes are in force. */
  apply(changes: readonly PlanChange[]): void {
    for (const { key, new: plan } of changes) {
      this.#count(this.#plans.get(key), -1);
      this.#count(plan, 1);
      if (plan === undefined) this.#plans.delete(key);
      else this.#plans.set(key, plan);
    }
  }

  /** Records that exactly these plans are in force. The map is kept, not copied. */
  replaceAll(plans: Map<PlanKey, ServicePortPlan>): void {
    this.#plans = plans;
    this.#noLocalEndpoints = noCounts();
    for (const plan of plans.values()) this.#count(plan, 1);
  }

  /**
   * Service ports that drop traffic because a Local policy finds no endpoint on this node, although there are
   * some elsewhere: the last table of docs/behaviour.md §3. A service port without external addresses has no
   * external traffic.
   */
  noLocalEndpoints(family: Family): LocalPolicyCounts {
    return this.#noLocalEndpoints[family];
  }

  #count(plan: ServicePortPlan | undefined, by: 1 | -1): void {
    if (plan === undefined) return;
    const counts = this.#noLocalEndpoints[plan.family];
    if (plan.internal.verdict === "drop") counts.internal += by;
    if (plan.external.verdict === "local-external" && plan.localEndpoints.length === 0) counts.external += by;
  }
}

function noCounts(): Record<Family, { internal: number; external: number }> {
  return { IPv4: { internal: 0, external: 0 }, IPv6: { internal: 0, external: 0 } };
}
