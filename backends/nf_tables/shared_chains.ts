import type { NodeSettings } from "../../core/plan/plan.ts";
import * as nft from "./constants.ts";
import * as expr from "./expressions.ts";
import type { Expression } from "./expressions.ts";
import type { TableFamily } from "./families.ts";
import {
  addressFields,
  baseChain,
  type Chain,
  drop,
  flipMark,
  fromLocalPod,
  goTo,
  hasMark,
  inSet,
  isNew,
  jump,
  notFromRangeOf,
  type Rule,
  rule,
  setMark,
} from "./rules.ts";
import { CLUSTER_IPS, FIREWALL_ALLOWED, FIREWALL_SERVICES } from "./set/shared.ts";

/** Rules and chains that the tables of several modes have in common. */

/** `ct state new jump CHAIN` */
export function jumpIfNew(chain: string): Rule {
  return rule(isNew(), jump(chain));
}

/** Marks connections to ClusterIPs that do not come from pods of this node: docs/behaviour.md §4.3. */
export function markForeignSources(family: TableFamily, settings: NodeSettings): readonly Rule[] {
  const fromElsewhere = settings.masqueradeAll ? [] : fromLocalPod("!=", family, settings.localTraffic);
  if (fromElsewhere === undefined) return [];
  const toClusterIP = inSet([expr.destination(family)], CLUSTER_IPS);
  return [rule(toClusterIP, fromElsewhere, setMark(settings.masqueradeMark))];
}

/** @param isHairpin matches a connection of an endpoint to itself. */
export function masqueradingChain(
  { masqueradeMark }: NodeSettings,
  isHairpin: readonly Expression[],
): Chain {
  return {
    name: "masquerading",
    rules: [
      rule(hasMark(masqueradeMark), flipMark(masqueradeMark), [expr.masquerade]),
      // An endpoint that reaches itself through a service must not see its own address as the source.
      rule(isHairpin, [expr.masquerade]),
    ],
  };
}

/**
 * Drops connections to a load-balancer frontend from outside its source ranges.
 * @param count counts dropped packets; empty for a table without counters.
 */
export function firewallChains(family: TableFamily, count: readonly Rule[]): readonly Chain[] {
  const isGuarded = inSet(addressFields(family), FIREWALL_SERVICES);
  const isForbidden = notFromRangeOf(family, FIREWALL_ALLOWED);
  if (count.length === 0) {
    return [{ name: "firewall-check", rules: [rule(isGuarded, isForbidden, drop)] }];
  }
  return [
    { name: "firewall-drop", rules: [...count, rule(drop)] },
    { name: "firewall-check", rules: [rule(isGuarded, isForbidden, goTo("firewall-drop"))] },
  ];
}

/** Enters the chain `services` for packets from outside. */
export const NAT_PREROUTING: Chain = baseChain(
  "nat-prerouting",
  "nat",
  nft.NF_INET_PRE_ROUTING,
  nft.NF_IP_PRI_NAT_DST,
  rule(jump("services")),
);

/** Enters the chain `masquerading`. */
export const NAT_POSTROUTING: Chain = baseChain(
  "nat-postrouting",
  "nat",
  nft.NF_INET_POST_ROUTING,
  nft.NF_IP_PRI_NAT_SRC,
  rule(jump("masquerading")),
);

/** Before DNAT, because source ranges apply to the address of the frontend. */
export const PRE_DNAT = nft.NF_IP_PRI_NAT_DST - 10;
