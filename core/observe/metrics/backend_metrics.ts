import type { Backend, BackendMetric } from "../../backend/contract.ts";
import type { MetricSource } from "./exposition/exposition.ts";
import type { PromMetric } from "./registry/prom_client.ts";
import { alpha, sampledCounter, sampledGauge } from "./registry/registry.ts";

/** The metrics that only the mode has. They are created anew for each scrape, so that what is gone is not exposed. */
export function backendMetrics(backend: Pick<Backend, "mode" | "metrics">): MetricSource {
  return {
    name: `mode ${backend.mode}`,
    async read() {
      return promMetrics(await backend.metrics?.() ?? []);
    },
  };
}

function promMetrics(metrics: readonly BackendMetric[]): readonly PromMetric[] {
  return metrics.map(({ name, help, type, labels, samples }) => {
    const sampled = type === "counter" ? sampledCounter : sampledGauge;
    return sampled(alpha(name, help), labels, () => samples);
  });
}
