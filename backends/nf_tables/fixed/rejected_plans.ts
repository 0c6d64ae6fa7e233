import type { ServicePortPlan } from "../../../core/plan/plan.ts";
import type { Rejection } from "../rejection.ts";
import type { Element } from "../set/element.ts";

/** Service ports that a rejection may be about. */
export interface Candidates {
  readonly plans: Iterable<ServicePortPlan>;
  readonly elementsOf: (plan: ServicePortPlan) => readonly Element[];
}

/** The candidates that have the rejected element. */
export function rejectedPlans(
  { family, object }: Rejection,
  { plans, elementsOf }: Candidates,
): ServicePortPlan[] {
  if (family === undefined || object.kind !== "element" || object.key === undefined) return [];
  const { set, key } = object;
  return [...plans].filter((plan) =>
    plan.family === family.family &&
    elementsOf(plan).some((element) => element.set === set && element.key === key)
  );
}
