import {
  addressTypes,
  concatenatedRanges,
  CONNECTION_TRACKING,
  DESTINATION_NAT,
  MASQUERADING,
  REJECTING,
  tablesAndSets,
} from "../nf_tables/common_features.ts";
import * as expr from "../nf_tables/expressions.ts";
import type { TableFamily } from "../nf_tables/families.ts";
import { type Probe, tableProbe } from "../nf_tables/probe.ts";
import { addressFields, rule } from "../nf_tables/rules.ts";
import { FIREWALL_ALLOWED } from "../nf_tables/set/shared.ts";
import { TABLE } from "./names.ts";
import { writeRefill } from "./refill.ts";
import { affinitySet, ENDPOINTS, SERVICE_IPS, setsOf } from "./sets.ts";

const all = (family: TableFamily) => setsOf(family, { trafficMetrics: "off" }, { listsNodePortIPs: false });

/** Finds out which features of the mode's tables the kernel lacks. */
export const probeKernel: Probe = tableProbe(TABLE, [
  tablesAndSets(
    "tables, maps and verdict maps",
    (family) => all(family).filter(({ name }) => name === SERVICE_IPS || name === ENDPOINTS),
  ),
  concatenatedRanges((family) => all(family).filter(({ name }) => name === FIREWALL_ALLOWED)),
  {
    name: "sets that rules fill",
    from: "nf_tables (CONFIG_NF_TABLES)",
    sets: (family) => [affinitySet(family, "affinity", 10)],
  },
  CONNECTION_TRACKING,
  {
    name: "random numbers in rules",
    from: "nft_numgen (CONFIG_NFT_NUMGEN)",
    rule: (family) => rule(expr.concat(...addressFields(family), expr.random(2))),
  },
  addressTypes(),
  DESTINATION_NAT,
  MASQUERADING,
  REJECTING,
], (batch, family, settings, plans) => writeRefill(batch, family, settings, plans, { how: "replace" }));
