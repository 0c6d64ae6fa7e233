import type { NodeSettings } from "../../../core/plan/plan.ts";
import type { Table, TableBatch } from "../../nf_tables/batch.ts";
import * as nft from "../../nf_tables/constants.ts";
import * as expr from "../../nf_tables/expressions.ts";
import type { Expression } from "../../nf_tables/expressions.ts";
import type { TableFamily } from "../../nf_tables/families.ts";
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
import { type Element, ElementLists } from "../../nf_tables/set/element.ts";
import { HAIRPIN_CONNECTIONS } from "../../nf_tables/set/shared.ts";
import {
  firewallChain,
  jumpIfNew,
  markForeignSources,
  masqueradingChain,
  natPostrouting,
  natPrerouting,
} from "../../nf_tables/shared_chains.ts";
import * as sets from "./sets.ts";

/** What IPVS does not do itself: masquerading, and refusing what no service is asked for. */
export const TABLE: Table = { name: "kube-proxy-ipvs", comment: "rules for kube-proxy in mode ipvs" };

/**
 * Writes the whole table, in place of the one there is. None of its sets has a memory that would be lost.
 * @param elements each once.
 */
export function writeTable(
  batch: TableBatch,
  family: TableFamily,
  settings: NodeSettings,
  elements: Iterable<Element>,
): void {
  batch.addTable(family);
  batch.deleteTable(family);
  batch.addTable(family);
  for (const spec of sets.setsOf(family)) batch.addSet(family, spec);
  const chains = chainsOf(family, settings);
  for (const chain of chains) batch.addChain(family, chain);
  for (const chain of chains) batch.addRules(family, chain);
  writeElements(batch, family, "add", elements);
}

/** @param elements none that is added is there, all that are deleted are. */
export function writeElements(
  batch: TableBatch,
  family: TableFamily,
  action: "add" | "delete",
  elements: Iterable<Element>,
): void {
  const lists = new ElementLists(batch, family, action, sets.setsOf(family));
  for (const element of elements) lists.put(element);
  lists.flush();
}

/** The chains of a table, whatever the services. Chains come before those that jump to them. */
export function chainsOf(family: TableFamily, settings: NodeSettings): readonly Chain[] {
  return [
    { name: "services", rules: services(family, settings) },
    masqueradingChain(settings, isHairpin(family)),
    { name: "untranslated-check", rules: untranslatedCheck(family) },
    firewallChain(family),
    { name: "endpoints-check", rules: endpointsCheck(family, settings) },
    { name: "service-ips-check", rules: serviceIPsCheck(family, settings) },
    ...baseChains(family, settings),
  ];
}

/**
 * IPVS takes what comes in at priorities 98 and 99 of the hook input, and what this node sends at -99 and -98 of the
 * hook output (net/netfilter/ipvs/ip_vs_core.c, ip_vs_ops4): so filter chains are before it there. What it forwards
 * passes output and postrouting with the endpoint's address, and never forward. Marks survive it.
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
    natPrerouting,
    // The node's own source is the address it asks, which is one of its own: no endpoint could answer.
    baseChain(
      "nat-output",
      "nat",
      nft.NF_INET_LOCAL_OUT,
      nft.NF_IP_PRI_NAT_DST,
      rule(inSet(addressFields(family), sets.VIRTUAL_SERVERS), setMark(masqueradeMark)),
    ),
    natPostrouting,
  ];
}

/** Marks connections that are to be masqueraded: docs/behaviour.md §4.3. */
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
 * An attempt that began before there was a virtual server has an entry that says it is not translated, which IPVS leaves
 * alone. It would be made all the same, and break when the entry is removed (docs/conntrack.md). So it waits for that.
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
 * Service addresses are addresses of this node, so what listens on all addresses would answer on them, too: what asks
 * one for a port that no service has is refused. The rest of the service ranges is nobody's.
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
      rule(inCidr(expr.destination, "==", family, cidr), notInSet(destination, sets.IPVS_IPS), drop)
    ),
  ];
}
