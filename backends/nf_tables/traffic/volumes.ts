import * as nft from "../constants.ts";
import * as expr from "../expressions.ts";
import type { TableFamily } from "../families.ts";
import {
  accept,
  addressFields,
  baseChain,
  type Chain,
  goTo,
  inSet,
  isDnated,
  isInDirection,
  isNew,
  isNotFromLoopback,
  isNotKnown,
  type Rule,
  rule,
  sourceFields,
} from "../rules.ts";

/*
 * Packets and bytes per frontend and direction, for `--traffic-metrics=full`. Every packet of a translated connection
 * is looked up by its frontend, where its header has it: the destination before the kernel translates it, the source
 * of a reply after the kernel has translated it back. `ct original proto-dst` would have it anywhere, but nft cannot
 * read it in a key.
 *
 *     ct direction reply ip saddr . meta l4proto . th sport @packets-from-endpoints accept
 *
 * A lookup counts in the element that it finds. The first packet of a frontend in its direction adds the element.
 */

export const TO_ENDPOINTS = "packets-to-endpoints";
export const FROM_ENDPOINTS = "packets-from-endpoints";
/** Sets with counters of packets and bytes. */
export const VOLUMES: readonly string[] = [TO_ENDPOINTS, FROM_ENDPOINTS];

/** The rules that count packets. */
export interface VolumeRules {
  /** For the first packet of any connection, which is not translated yet. Empty if other rules count it. */
  readonly firstPackets: readonly Rule[];
  /** For the packets of translated connections, by direction. */
  readonly toEndpoints: readonly Rule[];
  readonly fromEndpoints: readonly Rule[];
}

/** Before the translation of the destination. */
const BEFORE = nft.NF_IP_PRI_NAT_DST - 5;
/** After the translation of the source. */
const AFTER = nft.NF_IP_PRI_NAT_SRC + 5;

/**
 * Chains that count the packets of translated connections. A packet over the loopback interface passes all hooks, and
 * is counted where it is sent.
 */
export function volumeChains({ firstPackets, toEndpoints, fromEndpoints }: VolumeRules): readonly Chain[] {
  const to = [...isDnated(), ...isInDirection(nft.IP_CT_DIR_ORIGINAL), ...goTo("count-to-endpoints")];
  const from = [...isDnated(), ...isInDirection(nft.IP_CT_DIR_REPLY), ...goTo("count-from-endpoints")];
  const first = firstPackets.length === 0
    ? []
    : [[...isNew(), ...isNotKnown(), ...goTo("count-first-packets")]];
  const sent = [...first, to];
  return [
    ...(firstPackets.length === 0 ? [] : [{ name: "count-first-packets", rules: firstPackets }]),
    { name: "count-to-endpoints", rules: toEndpoints },
    { name: "count-from-endpoints", rules: fromEndpoints },
    baseChain(
      "count-prerouting",
      "filter",
      nft.NF_INET_PRE_ROUTING,
      BEFORE,
      ...sent.map((one) => rule(isNotFromLoopback(), one)),
    ),
    baseChain("count-output", "filter", nft.NF_INET_LOCAL_OUT, BEFORE, ...sent.map((one) => rule(one))),
    baseChain("count-input", "filter", nft.NF_INET_LOCAL_IN, AFTER, rule(isNotFromLoopback(), from)),
    baseChain("count-postrouting", "filter", nft.NF_INET_POST_ROUTING, AFTER, rule(from)),
  ];
}

/** Counts a packet in the element of its frontend, and ends its way through the chains if there is one. */
export function countKnown(family: TableFamily, set: string): Rule {
  return rule(inSet(volumeKey(family, set), set), accept);
}

/** Adds the element of the packet's frontend and counts the packet, if `isOurs` matches. */
export function countFirst(family: TableFamily, set: string, isOurs: readonly expr.Expression[]): Rule {
  return rule(isOurs, [...expr.concat(...volumeKey(family, set)), expr.count(set)]);
}

/** The frontend in the header of a packet that is counted in the set. */
export function volumeKey(family: TableFamily, set: string): readonly expr.Field[] {
  return set === TO_ENDPOINTS ? addressFields(family) : sourceFields(family);
}
