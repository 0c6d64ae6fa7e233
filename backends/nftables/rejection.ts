import type { NodeSettings, ServicePortPlan } from "../../core/plan/plan.ts";
import type { TableFamily } from "../nf_tables/families.ts";
import type { Rejection } from "../nf_tables/rejection.ts";
import { describeAddressKey, describeFrontendKey } from "../nf_tables/set/keys.ts";
import { HAIRPIN_CONNECTIONS } from "../nf_tables/set/shared.ts";
import { ownObjects } from "./own_chains.ts";
import { elementsOf } from "./compile.ts";
import { isServiceChain } from "./names.ts";
import * as sets from "./sets.ts";

/** The candidates that have the rejected object. */
export function rejectedPlans(
  { family, object }: Rejection,
  candidates: Iterable<ServicePortPlan>,
  settingsOf: (family: TableFamily) => NodeSettings | undefined,
): ServicePortPlan[] {
  if (family === undefined || object.kind === "batch" || object.kind === "table") return [];
  const plans: ServicePortPlan[] = [];
  const settings = settingsOf(family);
  for (const plan of candidates) {
    if (plan.family !== family.family) continue;
    const isRejected = object.kind === "element"
      ? hasElement(settings, plan, object.set, object.key)
      : hasChainOrSet(family, settings, plan, object.name);
    if (isRejected) plans.push(plan);
  }
  return plans;
}

function hasElement(
  settings: NodeSettings | undefined,
  plan: ServicePortPlan,
  set: string,
  key: string | undefined,
): boolean {
  return key !== undefined &&
    elementsOf(plan, settings?.serviceCidrs ?? [])
      .some((element) => element.set === set && element.key === key);
}

function hasChainOrSet(
  family: TableFamily,
  settings: NodeSettings | undefined,
  plan: ServicePortPlan,
  name: string,
): boolean {
  if (settings === undefined || !isServiceChain(name)) return false;
  const { chains, sets } = ownObjects(family, settings, plan);
  return chains.some((chain) => chain.name === name) || sets.some((set) => set.name === name);
}

const SETS_BY_PORT: ReadonlySet<string> = new Set([
  sets.SERVICE_NODEPORTS,
  sets.NO_ENDPOINT_NODEPORTS,
  sets.NODEPORT_ENDPOINTS,
  sets.LOCAL_NODEPORT_ENDPOINTS,
]);

/** Renders the address or frontend of an element. */
export function describeElement({ addressBytes }: TableFamily, set: string, key: string): string | undefined {
  if (SETS_BY_PORT.has(set)) return describeFrontendKey(key, 0);
  if (key.length === addressBytes) return describeAddressKey(key);
  // The map of a service with shared lists.
  if (isServiceChain(set)) return describeFrontendKey(key, 0);
  // A hairpin's key starts with its source.
  const frontend = set === HAIRPIN_CONNECTIONS ? key.slice(addressBytes) : key;
  return describeFrontendKey(frontend, addressBytes);
}
