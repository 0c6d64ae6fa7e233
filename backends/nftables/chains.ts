import type { NodeSettings } from "../../core/plan/plan.ts";
import * as nft from "../nf_tables/constants.ts";
import * as expr from "../nf_tables/expressions.ts";
import type { Expression } from "../nf_tables/expressions.ts";
import type { TableFamily } from "../nf_tables/families.ts";
import {
  addressFields,
  baseChain,
  type Chain,
  drop,
  inCidr,
  inSet,
  isDnated,
  isNew,
  isNotDnated,
  isOfThisNode,
  jump,
  notInSet,
  portFields,
  type Rule,
  rule,
  vmap,
} from "../nf_tables/rules.ts";
import { CLUSTER_IPS, HAIRPIN_CONNECTIONS, SERVICE_CIDR_ENDPOINTS } from "../nf_tables/set/shared.ts";
import {
  firewallChains,
  jumpIfNew,
  markForeignSources,
  masqueradingChain,
  NAT_POSTROUTING,
  NAT_PREROUTING,
} from "../nf_tables/shared_chains.ts";
import {
  countIn,
  counts,
  countsVolumes,
  refusedSet,
  UNALLOCATED,
  volumeRules,
} from "../nf_tables/traffic/counting.ts";
import { volumeChains } from "../nf_tables/traffic/volumes.ts";
import * as sets from "./sets.ts";

/** Chain for frontends that are rejected for lack of endpoints. */
export const REJECT_CHAIN = "reject-chain";
/** Chain for frontends with a Local traffic policy that have no endpoint on this node. */
export const DROP_CHAIN = "drop-chain";

/**
 * The chains of every table, with the names, hooks and order of kube-proxy's (docs/behaviour.md §5.2). Each
 * comes before the chains that jump to it.
 */
export function fixedChains(family: TableFamily, settings: NodeSettings): readonly Chain[] {
  return [
    {
      name: REJECT_CHAIN,
      rules: [...countIn(refusedSet("no-endpoints"), family, settings), rule([expr.reject(family)])],
    },
    {
      name: DROP_CHAIN,
      rules: [...countIn(refusedSet("no-local-endpoints"), family, settings), rule(drop)],
    },
    { name: "services", rules: services(family, settings) },
    masqueradingChain(settings, isHairpin(family)),
    ...firewallChains(family, countIn(refusedSet("source-range"), family, settings)),
    {
      name: "service-endpoints-check",
      rules: [rule(vmap(addressFields(family), sets.NO_ENDPOINT_SERVICES))],
    },
    { name: "nodeport-endpoints-check", rules: [nodePortEndpointsCheck(family, settings)] },
    { name: "cluster-ips-check", rules: clusterIPsCheck(family, settings) },
    ...BASE_CHAINS,
    ...(countsVolumes(settings) ? volumeChains(volumeRules(family)) : []),
  ];
}

/** Before DNAT, because source ranges apply to the address of the frontend. */
const PRE_DNAT = nft.NF_IP_PRI_NAT_DST - 10;

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
  const toNodePort = settings.nodePorts === "all"
    ? [...isOfThisNode("daddr"), ...notLoopback(family)]
    : inSet([expr.destination(family)], sets.NODEPORT_IPS);
  return [
    ...markForeignSources(family, settings),
    rule(vmap(addressFields(family), sets.SERVICE_IPS)),
    rule(toNodePort, vmap(portFields, sets.SERVICE_NODEPORTS)),
  ];
}

function isHairpin(family: TableFamily): Expression[] {
  return [...isDnated(), ...inSet([expr.source(family), ...addressFields(family)], HAIRPIN_CONNECTIONS)];
}

function nodePortEndpointsCheck(family: TableFamily, settings: NodeSettings): Rule {
  const toNodePort = settings.nodePorts === "all"
    ? notLoopback(family)
    : inSet([expr.destination(family)], sets.NODEPORT_IPS);
  return rule(toNodePort, vmap(portFields, sets.NO_ENDPOINT_NODEPORTS));
}

/**
 * `ct state new ct status ! dnat jump CHAIN`: for connections that no service has sent to an endpoint. A pod may
 * have an address in a service range, and is reached through its services nevertheless. kube-proxy drops these
 * connections in mode nftables.
 */
function jumpIfNotTranslated(chain: string): Rule {
  return rule(isNew(), isNotDnated(), jump(chain));
}

/**
 * Rejects connections to an undefined port of a ClusterIP. Drops those to the other addresses of the service
 * ranges, except to endpoints: another node may have sent the connection there.
 */
function clusterIPsCheck(family: TableFamily, settings: NodeSettings): Rule[] {
  return [
    rule(inSet([expr.destination(family)], CLUSTER_IPS), [expr.reject(family)]),
    ...settings.serviceCidrs.map((cidr) =>
      rule(
        inCidr(expr.destination, "==", family, cidr),
        notInSet([expr.destination(family)], SERVICE_CIDR_ENDPOINTS),
        counts(settings) ? [expr.countNamed(UNALLOCATED)] : [],
        drop,
      )
    ),
  ];
}

function notLoopback(family: TableFamily): Expression[] {
  return inCidr(expr.destination, "!=", family, family.loopback);
}
