import { type Address, type Cidr, familyOf, normaliseCidrs } from "../../net/address.ts";
import { FAMILIES } from "../../net/protocol.ts";
import type { ServicePort } from "../objects.ts";
import { InvalidField } from "./fields.ts";

/**
 * Maximum number of kernel entries that one Service may need. An object of the API may have 1.5 MB, which is
 * room for 10,000 ports at 10,000 addresses: 100 million entries on every node.
 */
export const MAX_ENTRIES_PER_SERVICE = 131_072;

export interface ServiceExtent {
  readonly ports: readonly ServicePort[];
  readonly clusterIPs: readonly Address[];
  readonly externalIPs: readonly Address[];
  readonly loadBalancerIPs: readonly Address[];
  readonly sourceRanges: readonly Cidr[];
}

/**
 * Rejects a Service that would need too many entries: one per port and address, and one per port,
 * load-balancer address and source range.
 */
export function checkSize(
  { ports, clusterIPs, externalIPs, loadBalancerIPs, sourceRanges }: ServiceExtent,
): void {
  const addresses = clusterIPs.length + externalIPs.length + loadBalancerIPs.length;
  let restricted = 0;
  for (const family of FAMILIES) {
    const ofFamily = (address: Address) => familyOf(address) === family;
    const balanced = loadBalancerIPs.filter(ofFamily).length;
    if (balanced === 0) continue;
    restricted += balanced * normaliseCidrs(sourceRanges.filter(({ address }) => ofFamily(address))).length;
  }
  const entries = ports.length * (addresses + restricted);
  if (entries <= MAX_ENTRIES_PER_SERVICE) return;
  const ranges = restricted === 0 ? "" : ` and ${sourceRanges.length} source ranges`;
  throw new InvalidField(
    "",
    `${ports.length} ports at ${addresses} addresses${ranges} make ${entries} entries, and a Service may have at ` +
      `most ${MAX_ENTRIES_PER_SERVICE}; use fewer ports, addresses or ranges, or split the Service`,
  );
}
