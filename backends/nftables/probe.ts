import * as nft from "../nf_tables/constants.ts";
import * as expr from "../nf_tables/expressions.ts";
import type { TableFamily } from "../nf_tables/families.ts";
import { type Probe, tableProbe } from "../nf_tables/probe.ts";
import { addressFields, dnatTo, type Hook, isNew, isOfThisNode, rule } from "../nf_tables/rules.ts";
import { FIREWALL_ALLOWED } from "../nf_tables/set/shared.ts";
import { TABLE } from "./names.ts";
import { writeRefill } from "./refill.ts";
import { affinitySet, ENDPOINTS, SERVICE_IPS, setsOf } from "./sets.ts";

const PREROUTING: Hook = { type: "nat", number: nft.NF_INET_PRE_ROUTING, priority: nft.NF_IP_PRI_NAT_DST };
const POSTROUTING: Hook = { type: "nat", number: nft.NF_INET_POST_ROUTING, priority: nft.NF_IP_PRI_NAT_SRC };

const all = (family: TableFamily) => setsOf(family, { trafficMetrics: "off" }, { listsNodePortIPs: false });

/** Finds out which features of the mode's tables the kernel lacks. */
export const probeKernel: Probe = tableProbe(TABLE, [
  {
    name: "tables, maps and verdict maps",
    from: "nf_tables (CONFIG_NF_TABLES with CONFIG_NF_TABLES_IPV4 and CONFIG_NF_TABLES_IPV6)",
    sets: (family) => all(family).filter(({ name }) => name === SERVICE_IPS || name === ENDPOINTS),
  },
  {
    name: "ranges in concatenated keys",
    from: "Linux 5.6 or newer",
    sets: (family) => all(family).filter(({ name }) => name === FIREWALL_ALLOWED),
  },
  {
    name: "sets that rules fill",
    from: "nf_tables (CONFIG_NF_TABLES)",
    sets: (family) => [affinitySet(family, "affinity", 10)],
  },
  {
    name: "connection tracking in rules",
    from: "nft_ct (CONFIG_NFT_CT)",
    rule: () => rule(isNew()),
  },
  {
    name: "random numbers in rules",
    from: "nft_numgen (CONFIG_NFT_NUMGEN)",
    rule: (family) => rule(expr.concat(...addressFields(family), expr.random(2))),
  },
  {
    name: "address types in rules",
    from: "nft_fib_ipv4 and nft_fib_ipv6 (CONFIG_NFT_FIB_IPV4, CONFIG_NFT_FIB_IPV6)",
    hook: PREROUTING,
    rule: () => rule(isOfThisNode("daddr")),
  },
  {
    name: "destination NAT",
    from: "nft_nat (CONFIG_NFT_NAT)",
    hook: PREROUTING,
    rule: (family) => rule(dnatTo(family, "\0".repeat(family.addressBytes), "\0\x01")),
  },
  {
    name: "masquerading",
    from: "nft_masq (CONFIG_NFT_MASQ)",
    hook: POSTROUTING,
    rule: () => rule([expr.masquerade]),
  },
  {
    name: "rejecting",
    from: "nft_reject_ipv4 and nft_reject_ipv6 (CONFIG_NFT_REJECT_IPV4, CONFIG_NFT_REJECT_IPV6)",
    rule: (family) => rule([expr.reject(family)]),
  },
], (batch, family, settings, plans) => writeRefill(batch, family, settings, plans, { how: "replace" }));
