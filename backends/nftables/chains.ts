import type { NodeSettings } from "../../core/plan/plan.ts";
import * as nft from "../nf_tables/constants.ts";
import * as expr from "../nf_tables/expressions.ts";
import type { Expression } from "../nf_tables/expressions.ts";
import type { TableFamily } from "../nf_tables/families.ts";
import {
  clusterIPsCheck,
  endpointsChecks,
  jumpIfNotTranslated,
  refusingChains,
  toNodePort,
} from "../nf_tables/refusal_chains.ts";
import {
  addressFields,
  baseChain,
  type Chain,
  inSet,
  isDnated,
  jump,
  portFields,
  type Rule,
  rule,
  vmap,
} from "../nf_tables/rules.ts";
import { HAIRPIN_CONNECTIONS } from "../nf_tables/set/shared.ts";
import {
  firewallChains,
  jumpIfNew,
  markForeignSources,
  masqueradingChain,
  NAT_POSTROUTING,
  NAT_PREROUTING,
  PRE_DNAT,
} from "../nf_tables/shared_chains.ts";
import { countIn, countsVolumes, refusedSet, volumeRules } from "../nf_tables/traffic/counting.ts";
import { volumeChains } from "../nf_tables/traffic/volumes.ts";
import * as sets from "./sets.ts";

/**
 * The chains of every table, with the names, hooks and order of kube-proxy's (docs/behaviour.md §5.2). Each
 * comes before the chains that jump to it.
 */
export function fixedChains(family: TableFamily, settings: NodeSettings): readonly Chain[] {
  return [
    ...refusingChains(family, settings),
    { name: "services", rules: services(family, settings) },
    masqueradingChain(settings, isHairpin(family)),
    ...firewallChains(family, countIn(refusedSet("source-range"), family, settings)),
    ...endpointsChecks(family, settings),
    { name: "cluster-ips-check", rules: clusterIPsCheck(family, settings) },
    ...BASE_CHAINS,
    ...(countsVolumes(settings) ? volumeChains(volumeRules(family)) : []),
  ];
}

const BASE_CHAINS: readonly Chain[] = [
  baseChain(
    "filter-prerouting-pre-dnat",
    "filter",
    nft.NF_INET_PRE_ROUTING,
    PRE_DNAT,
    jumpIfNew("firewall-check"),
  ),
  baseChain("filter-output-pre-dnat", "filter", nft.NF_INET_LOCAL_OUT, PRE_DNAT, jumpIfNew("firewall-check")),
  baseChain(
    "filter-input",
    "filter",
    nft.NF_INET_LOCAL_IN,
    nft.NF_IP_PRI_FILTER,
    jumpIfNew("nodeport-endpoints-check"),
    jumpIfNew("service-endpoints-check"),
  ),
  baseChain(
    "filter-forward",
    "filter",
    nft.NF_INET_FORWARD,
    nft.NF_IP_PRI_FILTER,
    jumpIfNew("service-endpoints-check"),
    jumpIfNotTranslated("cluster-ips-check"),
  ),
  baseChain(
    "filter-output",
    "filter",
    nft.NF_INET_LOCAL_OUT,
    nft.NF_IP_PRI_FILTER,
    jumpIfNew("service-endpoints-check"),
    jumpIfNotTranslated("cluster-ips-check"),
  ),
  NAT_PREROUTING,
  baseChain("nat-output", "nat", nft.NF_INET_LOCAL_OUT, nft.NF_IP_PRI_NAT_DST, rule(jump("services"))),
  NAT_POSTROUTING,
];

/** Handles new connections: marks those to masquerade, then dispatches each to the chain of its frontend. */
function services(family: TableFamily, settings: NodeSettings): Rule[] {
  return [
    ...markForeignSources(family, settings),
    rule(vmap(addressFields(family), sets.SERVICE_IPS)),
    rule(toNodePort(family, settings), vmap(portFields, sets.SERVICE_NODEPORTS)),
  ];
}

function isHairpin(family: TableFamily): Expression[] {
  return [...isDnated(), ...inSet([expr.source(family), ...addressFields(family)], HAIRPIN_CONNECTIONS)];
}
