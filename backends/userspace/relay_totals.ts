import type { PlanKey } from "../../core/plan/plan.ts";
import type { RelayReport, ServiceCounters } from "./relay/messages.ts";

/** Counters of a service that are summed up over all services. */
const SUMMED = ["retries", "failures", "refused"] as const;
export type Totals = Readonly<Record<(typeof SUMMED)[number], number>>;

/**
 * Sums over all services, also those that are gone, and over all relays that the process has started. A report has only
 * the services that exist, so their sum could decrease.
 */
export class RelayTotals {
  #last = new Map<PlanKey, ServiceCounters>();
  readonly #past = { retries: 0, failures: 0, refused: 0 };

  /** @returns the sums after the report. */
  add({ services }: Pick<RelayReport, "services">): Totals {
    const now = new Map(services.map((counters) => [counters.key, counters]));
    for (const [key, last] of this.#last) {
      const next = now.get(key);
      const isNewCount = next === undefined || next.connections < last.connections;
      if (isNewCount) { for (const name of SUMMED) this.#past[name] += last[name]; }
    }
    this.#last = now;
    const totals = { ...this.#past };
    for (const counters of services) for (const name of SUMMED) totals[name] += counters[name];
    return totals;
  }
}
