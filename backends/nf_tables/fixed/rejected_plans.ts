import type { ServicePortPlan } from "../../../core/plan/plan.ts";
import type { Rejection } from "../rejection.ts";
import type { Element } from "../set/element.ts";
import { frontendKey } from "../set/keys.ts";

/** Service ports that a rejection may be about. */
export interface Candidates {
  readonly plans: Iterable<ServicePortPlan>;
  readonly elementsOf: (plan: ServicePortPlan) => readonly Element[];
}

/**
 * The candidates that have the rejected element. If it is a node port of one and an address of another, which meet in
 * mode ipvs only, the latter is at fault: the API server allocates node ports, and whoever may create a Service may
 * give it a node's address as an external IP.
 */
export function rejectedPlans(
  { family, object }: Rejection,
  { plans, elementsOf }: Candidates,
): ServicePortPlan[] {
  if (family === undefined || object.kind !== "element" || object.key === undefined) return [];
  const { set, key } = object;
  const holders = [...plans].filter((plan) =>
    plan.family === family.family &&
    elementsOf(plan).some((element) => element.set === set && element.key === key)
  );
  const byAddress = holders.filter((plan) =>
    plan.frontends.some((frontend) => frontend.kind !== "NodePort" && frontendKey(plan, frontend) === key)
  );
  return byAddress.length === 0 ? holders : byAddress;
}
