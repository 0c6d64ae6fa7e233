import type { Table } from "../../nf_tables/batch.ts";
import * as nft from "../../nf_tables/constants.ts";
import * as expr from "../../nf_tables/expressions.ts";
import type { TableFamily } from "../../nf_tables/families.ts";
import type { FixedTable } from "../../nf_tables/fixed/table.ts";
import {
  clusterIPsCheck,
  endpointsChecks,
  jumpIfNotTranslated,
  refusingChains,
  toNodePort,
} from "../../nf_tables/refusal_chains.ts";
import {
  accept,
  addressFields,
  baseChain,
  type Chain,
  fromLocalPod,
  goTo,
  hasMark,
  inCidr,
  inSet,
  isNew,
  isNotDnated,
  isOfThisNode,
  isProtocol,
  jump,
  portFields,
  type Rule,
  rule,
  vmap,
} from "../../nf_tables/rules.ts";
import { SERVICE_IPS, SERVICE_NODEPORTS } from "../../nf_tables/set/frontends.ts";
import { protocolByte } from "../../nf_tables/set/keys.ts";
import { firewallChains, jumpIfNew, NAT_PREROUTING, PRE_DNAT } from "../../nf_tables/shared_chains.ts";
import {
  countConnection,
  countIn,
  countsVolumes,
  namedCounters,
  refusedSet,
  volumeRules,
} from "../../nf_tables/traffic/counting.ts";
import { volumeChains } from "../../nf_tables/traffic/volumes.ts";
import type { Side } from "../relay/messages.ts";
import { describeElement } from "./describe_element.ts";
import { LISTENERS, RELAY_PORTS, setsOf } from "./sets.ts";
import { type RedirectionSettings, RELAYED_PROTOCOLS } from "./target.ts";

/** The table that leads connections to the relay, and refuses those that no service accepts. */
export const TABLE: Table = {
  name: "kube-proxy-userspace",
  comment: "rules for kube-proxy in mode userspace",
};

export const REDIRECTION_TABLE: FixedTable<RedirectionSettings> = {
  mode: "userspace",
  table: TABLE,
  setsOf,
  chainsOf,
  countersOf: namedCounters,
  describeElement,
};

/** Chain for frontends that the relay serves. */
export const RELAY_CHAIN = "relay";
/** Chain for frontends that the relay serves for this node and its pods only (docs/behaviour.md §4.3). */
export const RELAY_INSIDE_CHAIN = "relay-for-inside";

/** The chains of every table. Each comes before the chains that jump to it. */
export function chainsOf(family: TableFamily, settings: RedirectionSettings): readonly Chain[] {
  const toInside = fromInside(family, settings);
  return [
    ...refusingChains(family, settings),
    { name: LISTENERS.inside, rules: redirect(family, settings, "inside") },
    { name: RELAY_INSIDE_CHAIN, rules: toInside },
    { name: RELAY_CHAIN, rules: [...toInside, ...redirect(family, settings, "outside")] },
    { name: "services", rules: services(family, settings) },
    ...firewallChains(family, countIn(refusedSet("source-range"), family, settings)),
    ...endpointsChecks(family, settings),
    { name: "cluster-ips-check", rules: clusterIPsCheck(family, settings) },
    ...baseChains(family, settings),
    ...(countsVolumes(settings) ? volumeChains(volumeRules(family)) : []),
  ];
}

/** Sends connections of this node and its pods to the listeners for them. */
function fromInside(family: TableFamily, { localTraffic }: RedirectionSettings): Rule[] {
  const podTraffic = fromLocalPod("==", family, localTraffic);
  return [
    ...(podTraffic === undefined ? [] : [rule(podTraffic, goTo(LISTENERS.inside))]),
    rule(isOfThisNode("saddr"), goTo(LISTENERS.inside)),
  ];
}

/**
 * `meta l4proto tcp dnat to meta l4proto map @relay-inside` per protocol, after counting. nft demands the first match for
 * the port.
 */
function redirect(family: TableFamily, settings: RedirectionSettings, side: Side): Rule[] {
  return [
    ...countConnection(family, settings),
    ...RELAYED_PROTOCOLS.map((protocol) =>
      rule(isProtocol(protocolByte(protocol)), expr.concat(expr.protocol), [
        expr.valueOf(LISTENERS[side]),
        expr.dnatToValue(family),
      ])
    ),
  ];
}

/** Dispatches a new connection to the chain of its frontend. */
function services(family: TableFamily, settings: RedirectionSettings): Rule[] {
  const byPort = vmap(portFields, SERVICE_NODEPORTS);
  return [
    rule(vmap(addressFields(family), SERVICE_IPS)),
    rule(toNodePort(family, settings), byPort),
    ...(settings.localhostNodePorts
      ? [rule(inCidr(expr.destination, "==", family, family.loopback), byPort)]
      : []),
  ];
}

function baseChains(family: TableFamily, { masqueradeMark }: RedirectionSettings): Chain[] {
  // An endpoint may have the address of a frontend. The relay is through with balancing.
  const ofRelay = rule(hasMark(masqueradeMark), accept);
  return [
    baseChain(
      "filter-prerouting-pre-dnat",
      "filter",
      nft.NF_INET_PRE_ROUTING,
      PRE_DNAT,
      jumpIfNew("firewall-check"),
    ),
    baseChain(
      "filter-output-pre-dnat",
      "filter",
      nft.NF_INET_LOCAL_OUT,
      PRE_DNAT,
      ofRelay,
      jumpIfNew("firewall-check"),
    ),
    baseChain(
      "filter-input",
      "filter",
      nft.NF_INET_LOCAL_IN,
      nft.NF_IP_PRI_FILTER,
      ofRelay,
      jumpIfNotTranslated("nodeport-endpoints-check"),
      jumpIfNotTranslated("service-endpoints-check"),
      rule(isNew(), isNotDnated(), inSet(portFields, RELAY_PORTS), [expr.reject(family)]),
    ),
    baseChain(
      "filter-forward",
      "filter",
      nft.NF_INET_FORWARD,
      nft.NF_IP_PRI_FILTER,
      jumpIfNotTranslated("service-endpoints-check"),
      jumpIfNotTranslated("cluster-ips-check"),
    ),
    baseChain(
      "filter-output",
      "filter",
      nft.NF_INET_LOCAL_OUT,
      nft.NF_IP_PRI_FILTER,
      ofRelay,
      jumpIfNotTranslated("service-endpoints-check"),
      jumpIfNotTranslated("cluster-ips-check"),
    ),
    NAT_PREROUTING,
    baseChain(
      "nat-output",
      "nat",
      nft.NF_INET_LOCAL_OUT,
      nft.NF_IP_PRI_NAT_DST,
      ofRelay,
      rule(jump("services")),
    ),
  ];
}
