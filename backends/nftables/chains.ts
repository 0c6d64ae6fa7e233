import type { NodeSettings } from "../../core/plan/plan.ts";
import * as expr from "../nf_tables/expressions.ts";
import type { Expression } from "../nf_tables/expressions.ts";
import type { TableFamily } from "../nf_tables/families.ts";
import * as nft from "../nf_tables/constants.ts";
import {
  addressFields,
  drop,
  flipMark,
  fromLocalPod,
  hasMark,
  inCidr,
  inSet,
  isDnated,
  isNew,
  isOfThisNode,
  jump,
  notFromRangeOf,
  portFields,
  type Rule,
  rule,
  setMark,
  vmap,
} from "../nf_tables/rules.ts";
import { baseChain, type Chain } from "../nf_tables/chain.ts";
import * as sets from "./sets.ts";

/** Where the verdict maps send what has no endpoints. */
export const REJECT_CHAIN = "reject-chain";

/**
 * The chains that every table has, whatever the services: upstream's names, hooks and order (docs/behaviour.md §5.2).
 * Chains come before those that jump to them.
 */
export function fixedChains(family: TableFamily, settings: NodeSettings): readonly Chain[] {
  return [
    { name: REJECT_CHAIN, rules: [rule([expr.reject(family)])] },
    { name: "services", rules: services(family, settings) },
    { name: "masquerading", rules: masquerading(family, settings) },
    { name: "firewall-check", rules: firewallCheck(family) },
    {
      name: "service-endpoints-check",
      rules: [rule(vmap(addressFields(family), sets.NO_ENDPOINT_SERVICES))],
    },
    { name: "nodeport-endpoints-check", rules: [nodePortEndpointsCheck(family, settings)] },
    { name: "cluster-ips-check", rules: clusterIPsCheck(family, settings) },
    ...baseChains,
  ];
}

function ofNew(chain: string): Rule {
  return rule(isNew(), jump(chain));
}

/** Before DNAT, because it is the frontend's address that source ranges are about. */
const PRE_DNAT = nft.NF_IP_PRI_NAT_DST - 10;

const baseChains: readonly Chain[] = [
  baseChain(
    "filter-prerouting-pre-dnat",
    "filter",
    nft.NF_INET_PRE_ROUTING,
    PRE_DNAT,
    ofNew("firewall-check"),
  ),
  baseChain("filter-output-pre-dnat", "filter", nft.NF_INET_LOCAL_OUT, PRE_DNAT, ofNew("firewall-check")),
  baseChain(
    "filter-input",
    "filter",
    nft.NF_INET_LOCAL_IN,
    nft.NF_IP_PRI_FILTER,
    ofNew("nodeport-endpoints-check"),
    ofNew("service-endpoints-check"),
  ),
  baseChain(
    "filter-forward",
    "filter",
    nft.NF_INET_FORWARD,
    nft.NF_IP_PRI_FILTER,
    ofNew("service-endpoints-check"),
    ofNew("cluster-ips-check"),
  ),
  baseChain(
    "filter-output",
    "filter",
    nft.NF_INET_LOCAL_OUT,
    nft.NF_IP_PRI_FILTER,
    ofNew("service-endpoints-check"),
    ofNew("cluster-ips-check"),
  ),
  baseChain("nat-prerouting", "nat", nft.NF_INET_PRE_ROUTING, nft.NF_IP_PRI_NAT_DST, rule(jump("services"))),
  baseChain("nat-output", "nat", nft.NF_INET_LOCAL_OUT, nft.NF_IP_PRI_NAT_DST, rule(jump("services"))),
  baseChain(
    "nat-postrouting",
    "nat",
    nft.NF_INET_POST_ROUTING,
    nft.NF_IP_PRI_NAT_SRC,
    rule(jump("masquerading")),
  ),
];

/** New connections: marks those to ClusterIPs that are to be masqueraded, then sends each to its service's chain. */
function services(family: TableFamily, settings: NodeSettings): Rule[] {
  const toClusterIP = inSet([expr.destination(family)], sets.CLUSTER_IPS);
  const fromElsewhere = settings.masqueradeAll ? [] : fromLocalPod("!=", family, settings.localTraffic);
  const toNodePort = settings.nodePorts === "all"
    ? [...isOfThisNode("daddr"), ...notLoopback(family)]
    : inSet([expr.destination(family)], sets.NODEPORT_IPS);
  return [
    ...(fromElsewhere === undefined
      ? []
      : [rule(toClusterIP, fromElsewhere, setMark(settings.masqueradeMark))]),
    rule(vmap(addressFields(family), sets.SERVICE_IPS)),
    rule(toNodePort, vmap(portFields, sets.SERVICE_NODEPORTS)),
  ];
}

function masquerading(family: TableFamily, { masqueradeMark }: NodeSettings): Rule[] {
  const fields = [expr.source(family), ...addressFields(family)];
  return [
    rule(hasMark(masqueradeMark), flipMark(masqueradeMark), [expr.masquerade]),
    // An endpoint that reaches itself through a service must not see its own address as the source.
    rule(isDnated(), inSet(fields, sets.HAIRPIN_CONNECTIONS), [expr.masquerade]),
  ];
}

function firewallCheck(family: TableFamily): Rule[] {
  const isGuarded = inSet(addressFields(family), sets.FIREWALL_SERVICES);
  return [rule(isGuarded, notFromRangeOf(family, sets.FIREWALL_ALLOWED), drop)];
}

function nodePortEndpointsCheck(family: TableFamily, settings: NodeSettings): Rule {
  const toNodePort = settings.nodePorts === "all"
    ? notLoopback(family)
    : inSet([expr.destination(family)], sets.NODEPORT_IPS);
  return rule(toNodePort, vmap(portFields, sets.NO_ENDPOINT_NODEPORTS));
}

/** After DNAT: what still goes to a ClusterIP asked for a port it does not have; the rest of the ranges is nobody's. */
function clusterIPsCheck(family: TableFamily, settings: NodeSettings): Rule[] {
  return [
    rule(inSet([expr.destination(family)], sets.CLUSTER_IPS), [expr.reject(family)]),
    ...settings.serviceCidrs.map((cidr) => rule(inCidr(expr.destination, "==", family, cidr), drop)),
  ];
}

function notLoopback(family: TableFamily): Expression[] {
  return inCidr(expr.destination, "!=", family, family.loopback);
}
