import type { DesiredState, NodeSettings, ServicePortPlan } from "../../core/plan/plan.ts";
import { endpointCount } from "./sync/update.ts";

/** The plans of the family of the settings. */
export function plansOf(desired: DesiredState, { family }: NodeSettings): Iterable<ServicePortPlan> {
  return desired.plans.values().filter((plan) => plan.family === family);
}

export function countEndpoints(plans: Iterable<ServicePortPlan>, { family }: NodeSettings): number {
  let count = 0;
  for (const plan of plans) if (plan.family === family) count += endpointCount(plan);
  return count;
}
