import type { NodeSettings, ServicePortPlan } from "../../core/plan/plan.ts";
import type { TableFamily } from "../nf_tables/families.ts";
import { addressOfKey, frontendOfKey } from "../nf_tables/keys.ts";
import type { Refused } from "../nf_tables/rejection.ts";
import { HAIRPIN_CONNECTIONS } from "../nf_tables/shared_sets.ts";
import { affinityObjects } from "./affinity.ts";
import { elementsOf } from "./compile.ts";
import { isServiceChain } from "./names.ts";
import * as sets from "./sets.ts";

/** The service ports the refusal is about, of those given. */
export function culpritsOf(
  { family, object }: Refused,
  plans: Iterable<ServicePortPlan>,
  settingsOf: (family: TableFamily) => NodeSettings | undefined,
): ServicePortPlan[] {
  if (family === undefined || object.kind === "batch" || object.kind === "table") return [];
  const culprits: ServicePortPlan[] = [];
  for (const plan of plans) {
    if (plan.family !== family.family) continue;
    const isCulprit = object.kind === "element"
      ? hasElement(plan, object.set, object.key)
      : hasChainOrSet(family, settingsOf(family), plan, object.name);
    if (isCulprit) culprits.push(plan);
  }
  return culprits;
}

function hasElement(plan: ServicePortPlan, set: string, key: string | undefined): boolean {
  return key !== undefined && elementsOf(plan).some((element) => element.set === set && element.key === key);
}

function hasChainOrSet(
  family: TableFamily,
  settings: NodeSettings | undefined,
  plan: ServicePortPlan,
  name: string,
): boolean {
  if (settings === undefined || !isServiceChain(name)) return false;
  const { chains, sets } = affinityObjects(family, settings, plan);
  return chains.some((chain) => chain.name === name) || sets.some((set) => set.name === name);
}

const setsByPort: ReadonlySet<string> = new Set([
  sets.SERVICE_NODEPORTS,
  sets.NO_ENDPOINT_NODEPORTS,
  sets.NODEPORT_ENDPOINTS,
  sets.LOCAL_NODEPORT_ENDPOINTS,
]);

export function elementInWords(family: TableFamily, set: string, key: string): string | undefined {
  const bytes = Uint8Array.from(key, (byte) => byte.charCodeAt(0));
  if (setsByPort.has(set)) return frontendOfKey(bytes, 0);
  if (bytes.length === family.addressBytes) return addressOfKey(bytes);
  if (set === HAIRPIN_CONNECTIONS) {
    return frontendOfKey(bytes.subarray(family.addressBytes), family.addressBytes);
  }
  return frontendOfKey(bytes, family.addressBytes);
}
