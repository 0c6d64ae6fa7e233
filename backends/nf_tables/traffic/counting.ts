import type { RefusalReason } from "../../../core/backend/traffic.ts";
import type { NodeSettings } from "../../../core/plan/plan.ts";
import * as expr from "../expressions.ts";
import type { TableFamily } from "../families.ts";
import { addressFields, inSet, type Rule, rule, sourceFields } from "../rules.ts";
import { frontendKey } from "../set/shared.ts";
import type { SetSpec } from "../set/spec.ts";
import {
  countFirst,
  countKnown,
  FROM_ENDPOINTS,
  TO_ENDPOINTS,
  type VolumeRules,
  VOLUMES,
} from "./volumes.ts";

/*
 * Counters per frontend, for docs/traffic.md. They are elements of sets that rules fill, keyed by the destination of
 * the first packet of a connection, before its translation:
 *
 *     update @service-connections { ip daddr . meta l4proto . th dport counter }
 *
 * Elements of such sets outlive every change of rules and of other sets. A counter in the dispatch element of a
 * frontend would start again whenever the service has another number of endpoints.
 */

type Level = Pick<NodeSettings, "trafficMetrics">;

/** Connections that are sent to an endpoint. */
export const CONNECTIONS = "service-connections";

const REFUSED: Readonly<Record<RefusalReason, string>> = {
  "no-endpoints": "refused-no-endpoints",
  "no-local-endpoints": "refused-no-local-endpoints",
  "source-range": "refused-source-range",
};

/**
 * Frontends that have had connections. It keeps replies of connections that others translate, as those to host ports,
 * out of the counters. A lookup in a set with counters would count.
 */
export const FRONTENDS = "service-frontends";

/** Counts the connections to addresses of service ranges that no service has. */
export const UNALLOCATED = "refused-unallocated-address";

/** The set with the counters of refused connections. */
export function refusedSet(reason: RefusalReason): string {
  return REFUSED[reason];
}

/** Reports whether the tables with these settings have counters. */
export function counts({ trafficMetrics }: Level): boolean {
  return trafficMetrics !== "off";
}

/** Reports whether the tables with these settings count packets and bytes. */
export function countsVolumes({ trafficMetrics }: Level): boolean {
  return trafficMetrics === "full";
}

/** Named counters of a table. */
export function namedCounters(settings: Level): readonly string[] {
  return counts(settings) ? [UNALLOCATED] : [];
}

/** Names of the sets that rules fill with counters and what belongs to them. */
export function countingSets(settings: Level): readonly string[] {
  return [
    ...(counts(settings) ? [CONNECTIONS, ...Object.values(REFUSED)] : []),
    ...(countsVolumes(settings) ? [FRONTENDS, ...VOLUMES] : []),
  ];
}

export function countingSetSpecs(family: TableFamily, settings: Level): readonly SetSpec[] {
  return countingSets(settings).map((name) => countingSetSpec(family, name));
}

export function countingSetSpec(family: TableFamily, name: string): SetSpec {
  return { name, kind: "counting set", comment: "", key: frontendKey(family) };
}

/** Rules that count a connection which is sent to an endpoint; no rules if nothing is counted. */
export function countConnection(family: TableFamily, settings: Level): readonly Rule[] {
  if (!countsVolumes(settings)) return countIn(CONNECTIONS, family, settings);
  return [
    ...countIn(CONNECTIONS, family, settings),
    // The first packet, which is not yet one of a translated connection, and the element for the others.
    ...countIn(TO_ENDPOINTS, family, settings),
    rule([...expr.concat(...addressFields(family)), expr.update(FRONTENDS)]),
  ];
}

/** Rules that count the packets of connections which `countConnection` has counted. */
export function volumeRules(family: TableFamily): VolumeRules {
  return {
    firstPackets: [],
    toEndpoints: [countKnown(family, TO_ENDPOINTS)],
    fromEndpoints: [
      countKnown(family, FROM_ENDPOINTS),
      countFirst(family, FROM_ENDPOINTS, inSet(sourceFields(family), FRONTENDS)),
    ],
  };
}

/**
 * The rule that counts the packet for its frontend; no rule if nothing is counted. It is a rule of its own, because a
 * set that is full ends the rule.
 */
export function countIn(set: string, family: TableFamily, settings: Level): readonly Rule[] {
  return counts(settings) ? [rule([...expr.concat(...addressFields(family)), expr.count(set)])] : [];
}
