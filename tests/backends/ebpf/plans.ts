import type { ServicePortPlan } from "../../../core/plan/plan.ts";
import { planOf as planOfAnyMode, type PlanText } from "../plans.ts";

/**
 * A plan as the planner makes it for mode ebpf, which ends TCP connections to endpoints that are not listed.
 */
export function planOf(text: PlanText): ServicePortPlan {
  const plan = planOfAnyMode(text);
  return plan.protocol === "TCP" ? { ...plan, servingEndpoints: plan.clusterEndpoints } : plan;
}
