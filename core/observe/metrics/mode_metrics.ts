import type { BackendMetric } from "../../backend/contract.ts";
import type { FailureMetric } from "../../backend/mode.ts";
import type { Family } from "../../net/protocol.ts";
import { Counter, Gauge, type Metric } from "./exposition.ts";
import { alpha } from "./metrics.ts";

/** Metrics that only some modes have. */

/** Counts failed syncs. Every sample exists from the start, so that a rate sees the first failure. */
export class SyncFailures implements Metric {
  readonly #counters: readonly { readonly counts: FailureMetric["counts"]; readonly counter: Counter }[];

  constructor(metrics: readonly FailureMetric[], families: readonly Family[]) {
    this.#counters = metrics.map(({ name, help, counts }) => {
      const counter = new Counter(alpha(name, help, "ip_family"));
      for (const family of families) counter.increment(0, family);
      return { counts, counter };
    });
  }

  /** @param full true for a full sync, false for a partial one. */
  count(family: Family, full: boolean): void {
    for (const { counts, counter } of this.#counters) {
      if (counts === "all" || counts === "partial" && !full) counter.increment(1, family);
    }
  }

  text(): string {
    return this.#counters.map(({ counter }) => counter.text()).join("");
  }
}

/** Formats the metrics of a backend in the text format of Prometheus. */
export function backendMetricsText(metrics: readonly BackendMetric[]): string {
  return metrics.map(({ name, help, type, labels, samples }) => {
    const metric = new (type === "counter" ? Counter : Gauge)(alpha(name, help, ...labels));
    for (const sample of samples) metric.set(sample.value, ...sample.labels);
    return metric.text();
  }).join("");
}
