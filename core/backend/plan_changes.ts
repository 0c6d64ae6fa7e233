import type { Family } from "../net/protocol.ts";
import type { ServicePortPlan } from "../plan/plan.ts";
import type { PlanChange } from "./contract.ts";

/** The changes of one family, in the same order. */
export function changesOfFamily(changes: readonly PlanChange[], family: Family): readonly PlanChange[] {
  return changes.filter((change) => (change.new ?? change.old)?.family === family);
}

/** The old and the new plan of each change. */
export function plansOf(changes: readonly PlanChange[]): ServicePortPlan[] {
  return changes.flatMap((change) => [change.old, change.new]).filter((plan) => plan !== undefined);
}
