import type { ServicePortPlan } from "../../../core/plan/plan.ts";
import type { TableFamily } from "../../nf_tables/families.ts";
import { addressOfKey, frontendOfKey } from "../../nf_tables/keys.ts";
import type { Refused } from "../../nf_tables/rejection.ts";
import type { Compiled } from "../compile.ts";
import { CLUSTER_IPS, HAIRPIN_CONNECTIONS } from "../../nf_tables/shared_sets.ts";
import { IPVS_IPS } from "./sets.ts";

/** The service ports that the refusal of a change to our tables is about, of those given. */
export function culpritsOf(
  { family, object }: Refused,
  plans: Iterable<ServicePortPlan>,
  compile: (plan: ServicePortPlan) => Compiled | undefined,
): ServicePortPlan[] {
  if (family === undefined || object.kind !== "element" || object.key === undefined) return [];
  const { set, key } = object;
  return [...plans].filter((plan) =>
    plan.family === family.family &&
    compile(plan)?.elements.some((element) => element.set === set && element.key === key)
  );
}

/** The address or frontend that an element of our sets is about. */
export function elementInWords(family: TableFamily, set: string, key: string): string | undefined {
  const bytes = Uint8Array.from(key, (byte) => byte.charCodeAt(0));
  const isByAddress = set === CLUSTER_IPS || set === IPVS_IPS || set === HAIRPIN_CONNECTIONS;
  if (isByAddress) return addressOfKey(bytes.subarray(0, family.addressBytes));
  return frontendOfKey(bytes, family.addressBytes);
}
