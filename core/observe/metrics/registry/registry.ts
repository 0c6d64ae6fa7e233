import { eachInTurns } from "../../../async/turns.ts";
import { Histogram } from "./histogram.ts";
import { PromCounter, PromGauge, type PromMetric } from "./prom_client.ts";

/** Name and help of a metric. */
export interface Declared<Name extends string = string> {
  readonly name: Name;
  readonly help: string;
}

/** The name of a counter ends like this in every format: OpenMetrics would add it. */
export type CounterName = `${string}_total`;

/** A value at the moment of a scrape, with the values of its labels in the order of their names. */
export interface Sample {
  readonly labels: readonly string[];
  readonly value: number;
}

/** Metrics that are exposed together. */
export interface CollectedMetrics {
  readonly metrics: readonly PromMetric[];
  readonly histograms: ReadonlyMap<string, Histogram<string>>;
}

/** Creates metrics, and keeps them for the scrapes. */
export class MetricRegistry implements CollectedMetrics {
  readonly metrics: PromMetric[] = [];
  readonly histograms = new Map<string, Histogram<string>>();
  readonly #hasNativeHistograms: boolean;

  /** @param hasNativeHistograms the feature gate NativeHistograms. */
  constructor(hasNativeHistograms = true) {
    this.#hasNativeHistograms = hasNativeHistograms;
  }

  counter<Label extends string = never>(
    declared: Declared<CounterName>,
    ...labels: readonly Label[]
  ): PromCounter<Label> {
    return this.#add(new PromCounter<Label>({ ...declared, labelNames: labels, registers: [] }));
  }

  gauge<Label extends string = never>(declared: Declared, ...labels: readonly Label[]): PromGauge<Label> {
    return this.#add(new PromGauge<Label>({ ...declared, labelNames: labels, registers: [] }));
  }

  histogram<Label extends string>(
    declared: Declared,
    buckets: readonly number[],
    ...labels: readonly Label[]
  ): Histogram<Label> {
    const histogram = new Histogram<Label>({
      ...declared,
      labels,
      buckets,
      native: this.#hasNativeHistograms,
    });
    this.histograms.set(declared.name, histogram);
    this.#add(histogram.classic);
    return histogram;
  }

  /** Adds a counter whose values each scrape reads. A label set without a value is not exposed. */
  readCounter(
    declared: Declared<CounterName>,
    labels: readonly string[],
    read: () => readonly Sample[],
  ): void {
    this.#add(sampledCounter(declared, labels, read));
  }

  /** Adds a gauge whose values each scrape reads. A label set without a value is not exposed. */
  readGauge(declared: Declared, labels: readonly string[], read: () => readonly Sample[]): void {
    this.#add(sampledGauge(declared, labels, read));
  }

  #add<Metric extends PromMetric>(metric: Metric): Metric {
    this.metrics.push(metric);
    return metric;
  }
}

export function sampledCounter(
  declared: Declared,
  labels: readonly string[],
  read: () => readonly Sample[],
): PromCounter<string> {
  return new PromCounter({
    ...declared,
    labelNames: labels,
    registers: [],
    async collect() {
      await refill(this, labels, read(), (of, value) => this.inc(of, value));
    },
  });
}

export function sampledGauge(
  declared: Declared,
  labels: readonly string[],
  read: () => readonly Sample[],
): PromGauge<string> {
  return new PromGauge({
    ...declared,
    labelNames: labels,
    registers: [],
    async collect() {
      await refill(this, labels, read(), (of, value) => this.set(of, value));
    },
  });
}

/** Replaces what a metric holds by the samples, so that labels that are gone are not exposed. */
async function refill(
  metric: Pick<PromMetric, "reset">,
  labels: readonly string[],
  samples: readonly Sample[],
  record: (labels: Record<string, string>, value: number) => void,
): Promise<void> {
  metric.reset();
  await eachInTurns(samples, ({ labels: values, value }) => {
    record(Object.fromEntries(labels.map((label, index) => [label, values[index] ?? ""])), value);
  });
}

/** Declares a metric of kube-proxy's name space, marked as Kubernetes marks those that may still change. */
export function alpha<const Name extends string>(name: Name, help: string): Declared<`kubeproxy_${Name}`> {
  return { name: `kubeproxy_${name}`, help: `[ALPHA] ${help}` };
}
