import * as nft from "./constants.ts";
import * as expr from "./expressions.ts";
import type { TableFamily } from "./families.ts";
import type { TableFeature } from "./probe.ts";
import { dnatTo, type Hook, isNew, isOfThisNode, rule } from "./rules.ts";
import type { SetSpec } from "./set/spec.ts";

/** Features of the kernel that the tables of several modes use. */

const PREROUTING: Hook = { type: "nat", number: nft.NF_INET_PRE_ROUTING, priority: nft.NF_IP_PRI_NAT_DST };
const POSTROUTING: Hook = { type: "nat", number: nft.NF_INET_POST_ROUTING, priority: nft.NF_IP_PRI_NAT_SRC };

/** @param name the kinds of sets that are tried. */
export function tablesAndSets(
  name: string,
  sets: (family: TableFamily) => readonly SetSpec[],
): TableFeature {
  return {
    name,
    from: "nf_tables (CONFIG_NF_TABLES with CONFIG_NF_TABLES_IPV4 and CONFIG_NF_TABLES_IPV6)",
    sets,
  };
}

/** @param sets have a key of a fixed value and a range. */
export function concatenatedRanges(sets: (family: TableFamily) => readonly SetSpec[]): TableFeature {
  return { name: "ranges in concatenated keys", from: "Linux 5.6 or newer", sets };
}

export const CONNECTION_TRACKING: TableFeature = {
  name: "connection tracking in rules",
  from: "nft_ct (CONFIG_NFT_CT)",
  rule: () => rule(isNew()),
};

export function addressTypes(hook: Hook = PREROUTING): TableFeature {
  return {
    name: "address types in rules",
    from: "nft_fib_ipv4 and nft_fib_ipv6 (CONFIG_NFT_FIB_IPV4, CONFIG_NFT_FIB_IPV6)",
    hook,
    rule: () => rule(isOfThisNode("daddr")),
  };
}

export const DESTINATION_NAT: TableFeature = {
  name: "destination NAT",
  from: "nft_nat (CONFIG_NFT_NAT)",
  hook: PREROUTING,
  rule: (family) => rule(dnatTo(family, "\0".repeat(family.addressBytes), "\0\x01")),
};

export const MASQUERADING: TableFeature = {
  name: "masquerading",
  from: "nft_masq (CONFIG_NFT_MASQ)",
  hook: POSTROUTING,
  rule: () => rule([expr.masquerade]),
};

export const REJECTING: TableFeature = {
  name: "rejecting",
  from: "nft_reject_ipv4 and nft_reject_ipv6 (CONFIG_NFT_REJECT_IPV4, CONFIG_NFT_REJECT_IPV6)",
  rule: (family) => rule([expr.reject(family)]),
};
