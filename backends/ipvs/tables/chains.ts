import type { NodeSettings } from "../../../core/plan/plan.ts";
import type { Table } from "../../nf_tables/batch.ts";
import * as nft from "../../nf_tables/constants.ts";
import * as expr from "../../nf_tables/expressions.ts";
import type { Expression } from "../../nf_tables/expressions.ts";
import type { TableFamily } from "../../nf_tables/families.ts";
import type { FixedTable } from "../../nf_tables/fixed/table.ts";
import {
  addressFields,
  baseChain,
  type Chain,
  drop,
  fromLocalPod,
  inCidr,
  inSet,
  isKnown,
  isOfThisNode,
  notInSet,
  type Rule,
  rule,
  setMark,
} from "../../nf_tables/rules.ts";
import { HAIRPIN_CONNECTIONS, SERVICE_CIDR_ENDPOINTS } from "../../nf_tables/set/shared.ts";
import {
  firewallChains,
  jumpIfNew,
  markForeignSources,
  masqueradingChain,
  NAT_POSTROUTING,
  NAT_PREROUTING,
} from "../../nf_tables/shared_chains.ts";
import { describeElement } from "./describe_element.ts";
import * as sets from "./sets.ts";

/**
 * Table for what IPVS does not do: masquerading, and rejecting or dropping connections that no service
 * accepts.
 */
export const TABLE: Table = { name: "kube-proxy-ipvs", comment: "rules for kube-proxy in mode ipvs" };

/** The table as `FixedTables` writes it. */
export const IPVS_TABLE: FixedTable<NodeSettings> = {
  mode: "ipvs",
  table: TABLE,
  setsOf: sets.setsOf,
  chainsOf,
  countersOf: () => [],
  describeElement,
};

/** The chains of every table. Each comes before the chains that jump to it. */
export function chainsOf(family: TableFamily, settings: NodeSettings): readonly Chain[] {
  return [
    { name: "services", rules: services(family, settings) },
    masqueradingChain(settings, isHairpin(family)),
    { name: "untranslated-check", rules: untranslatedCheck(family) },
    ...firewallChains(family, []),
    { name: "endpoints-check", rules: endpointsCheck(family, settings) },
    { name: "service-ips-check", rules: serviceIPsCheck(family, settings) },
    ...baseChains(family, settings),
  ];
}

/**
 * Priority before IPVS in the hook output. IPVS handles incoming packets at priorities 98 and 99 of the hook
 * input, and packets of this node at -99 and -98 of the hook output (net/netfilter/ipvs/ip_vs_core.c,
 * ip_vs_ops4). Packets that it forwards pass output and postrouting with the endpoint's address, but not
 * forward. They keep their marks.
 */
const PRE_IPVS_OUTPUT = nft.NF_IP_PRI_NAT_DST - 10;

function baseChains(family: TableFamily, { masqueradeMark }: NodeSettings): Chain[] {
  const checks = ["untranslated-check", "firewall-check", "endpoints-check", "service-ips-check"].map(
    jumpIfNew,
  );
  return [
    baseChain("filter-input", "filter", nft.NF_INET_LOCAL_IN, nft.NF_IP_PRI_FILTER, ...checks),
    baseChain("filter-output-pre-ipvs", "filter", nft.NF_INET_LOCAL_OUT, PRE_IPVS_OUTPUT, ...checks),
    baseChain(
      "filter-forward",
      "filter",
      nft.NF_INET_FORWARD,
      nft.NF_IP_PRI_FILTER,
      jumpIfNew("service-ips-check"),
    ),
    NAT_PREROUTING,
    // A service address is local, so the node uses it as the source, too: no endpoint could reply.
    baseChain(
      "nat-output",
      "nat",
      nft.NF_INET_LOCAL_OUT,
      nft.NF_IP_PRI_NAT_DST,
      rule(inSet(addressFields(family), sets.VIRTUAL_SERVERS), setMark(masqueradeMark)),
    ),
    NAT_POSTROUTING,
  ];
}

/** Marks connections to masquerade: docs/behaviour.md §4.3. */
function services(family: TableFamily, settings: NodeSettings): Rule[] {
  const isMasqueraded = inSet(addressFields(family), sets.MASQUERADED_SERVICES);
  return [
    ...markForeignSources(family, settings),
    rule(isMasqueraded, setMark(settings.masqueradeMark)),
  ];
}

function isHairpin(family: TableFamily): Expression[] {
  return inSet([expr.source(family), expr.destination(family)], HAIRPIN_CONNECTIONS);
}

/**
 * Drops packets of connection attempts that began before their virtual server existed, until their conntrack
 * entry is removed (docs/conntrack.md). The entry says that they are not translated, and IPVS leaves it as it
 * is: a connection would be established nevertheless, and break when the entry is removed.
 */
function untranslatedCheck(family: TableFamily): Rule[] {
  const isServed = inSet(addressFields(family), sets.VIRTUAL_SERVERS);
  return [rule(isKnown(), isServed, inSet([expr.replySource(family)], sets.IPVS_IPS), drop)];
}

function endpointsCheck(family: TableFamily, { localTraffic }: NodeSettings): Rule[] {
  const fromOutside = [...isOfThisNode("saddr", "!="), ...fromLocalPod("!=", family, localTraffic) ?? []];
  return [
    rule(inSet(addressFields(family), sets.NO_ENDPOINT_SERVICES), drop),
    rule(inSet(addressFields(family), sets.NO_LOCAL_ENDPOINT_SERVICES), fromOutside, drop),
  ];
}

/**
 * Rejects connections to a service address on a port without a service: service addresses are local, so a
 * process that listens on all addresses would answer. Drops connections to the other addresses of the service
 * ranges, unless IPVS, here or on another node, has sent them to an endpoint: a pod may have an address in a
 * service range.
 */
function serviceIPsCheck(family: TableFamily, settings: NodeSettings): Rule[] {
  const destination = [expr.destination(family)];
  return [
    rule(
      inSet(destination, sets.IPVS_IPS),
      notInSet(addressFields(family), sets.VIRTUAL_SERVERS),
      notInSet(addressFields(family), sets.HEALTH_CHECKS),
      [expr.reject(family)],
    ),
    ...settings.serviceCidrs.map((cidr) =>
      rule(
        inCidr(expr.destination, "==", family, cidr),
        notInSet(destination, sets.IPVS_IPS),
        notInSet(destination, SERVICE_CIDR_ENDPOINTS),
        drop,
      )
    ),
  ];
}
