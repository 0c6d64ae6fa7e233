import type { RefusalReason } from "../../../core/backend/traffic.ts";
import type { NodeSettings } from "../../../core/plan/plan.ts";
import * as expr from "../expressions.ts";
import type { TableFamily } from "../families.ts";
import { addressFields, type Rule, rule } from "../rules.ts";
import { frontendKey } from "../set/shared.ts";
import type { SetSpec } from "../set/spec.ts";

/*
 * Counters per frontend, for docs/traffic.md. They are elements of sets that rules fill, keyed by the destination of
 * the first packet of a connection, before its translation:
 *
 *     update @service-connections { ip daddr . meta l4proto . th dport counter }
 *
 * Elements of such sets outlive every change of rules and of other sets. A counter in the dispatch element of a
 * frontend would start again whenever the service has another number of endpoints.
 */

/** Connections that are sent to an endpoint. */
export const CONNECTIONS = "service-connections";

const REFUSED: Readonly<Record<RefusalReason, string>> = {
  "no-endpoints": "refused-no-endpoints",
  "no-local-endpoints": "refused-no-local-endpoints",
  "source-range": "refused-source-range",
};

/** Counts the connections to addresses of service ranges that no service has. */
export const UNALLOCATED = "refused-unallocated-address";

/** The set with the counters of refused connections. */
export function refusedSet(reason: RefusalReason): string {
  return REFUSED[reason];
}

/** Reports whether the tables with these settings have counters. */
export function counts({ trafficMetrics }: Pick<NodeSettings, "trafficMetrics">): boolean {
  return trafficMetrics !== "off";
}

/** Named counters of a table. */
export function namedCounters(settings: NodeSettings): readonly string[] {
  return counts(settings) ? [UNALLOCATED] : [];
}

export function countingSets(family: TableFamily, names: readonly string[]): readonly SetSpec[] {
  return names.map((name) => ({ name, kind: "counting set", comment: "", key: frontendKey(family) }));
}

/**
 * The rule that counts the packet for its frontend; no rule if nothing is counted. It is a rule of its own, because a
 * set that is full ends the rule.
 */
export function countIn(set: string, family: TableFamily, settings: NodeSettings): readonly Rule[] {
  return counts(settings) ? [rule([...expr.concat(...addressFields(family)), expr.count(set)])] : [];
}
