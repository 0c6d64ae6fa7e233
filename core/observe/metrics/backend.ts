import type { BackendMetric } from "../../backend/contract.ts";
import { Counter, Gauge } from "./exposition.ts";
import { alpha } from "./names.ts";

/** A mode's own metrics in the text format of Prometheus. */
export function backendMetricsText(metrics: readonly BackendMetric[]): string {
  return metrics.map(({ name, help, type, labels, samples }) => {
    const metric = new (type === "counter" ? Counter : Gauge)(alpha(name, help, ...labels));
    for (const sample of samples) metric.set(sample.value, ...sample.labels);
    return metric.text();
  }).join("");
}
