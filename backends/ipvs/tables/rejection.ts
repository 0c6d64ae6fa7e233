import type { ServicePortPlan } from "../../../core/plan/plan.ts";
import type { TableFamily } from "../../nf_tables/families.ts";
import type { Rejection } from "../../nf_tables/rejection.ts";
import { describeAddressKey, describeFrontendKey } from "../../nf_tables/set/keys.ts";
import { CLUSTER_IPS, HAIRPIN_CONNECTIONS, SERVICE_CIDR_ENDPOINTS } from "../../nf_tables/set/shared.ts";
import type { Compiled } from "../compile.ts";
import { IPVS_IPS } from "./sets.ts";

/** Service ports that a rejection may be about. */
export interface Candidates {
  readonly plans: Iterable<ServicePortPlan>;
  readonly compile: (plan: ServicePortPlan) => Compiled | undefined;
}

/** The candidates that have the rejected element. */
export function rejectedPlans(
  { family, object }: Rejection,
  { plans, compile }: Candidates,
): ServicePortPlan[] {
  if (family === undefined || object.kind !== "element" || object.key === undefined) return [];
  const { set, key } = object;
  return [...plans].filter((plan) =>
    plan.family === family.family &&
    compile(plan)?.elements.some((element) => element.set === set && element.key === key)
  );
}

const SETS_BY_ADDRESS: ReadonlySet<string> = new Set([
  CLUSTER_IPS,
  IPVS_IPS,
  HAIRPIN_CONNECTIONS,
  SERVICE_CIDR_ENDPOINTS,
]);

/** Renders the address or frontend of an element. */
export function describeElement({ addressBytes }: TableFamily, set: string, key: string): string | undefined {
  if (SETS_BY_ADDRESS.has(set)) return describeAddressKey(key.slice(0, addressBytes));
  return describeFrontendKey(key, addressBytes);
}
