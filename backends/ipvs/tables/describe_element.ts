import type { TableFamily } from "../../nf_tables/families.ts";
import { describeAddressKey, describeFrontendKey } from "../../nf_tables/set/keys.ts";
import { CLUSTER_IPS, HAIRPIN_CONNECTIONS, SERVICE_CIDR_ENDPOINTS } from "../../nf_tables/set/shared.ts";
import { IPVS_IPS } from "./sets.ts";

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
