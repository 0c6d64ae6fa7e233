import type { NativeHistogramData, SparseBuckets } from "../registry/native_histogram.ts";
import type { PromValue } from "../registry/prom_client.ts";
import type { ProtobufWriter } from "./protobuf_writer.ts";

/** Encodes io.prometheus.client.MetricFamily (io/prometheus/client/metrics.proto of prometheus/client_model). */

/** A metric with its values, as prom-client gives them. */
export interface MetricFamily {
  readonly name: string;
  readonly help: string;
  /** "counter", "gauge" or "histogram". */
  readonly type: string;
  readonly values: readonly PromValue[];
  /** The native buckets of a label set of a histogram; undefined for none. */
  native(labels: PromValue["labels"]): NativeHistogramData | undefined;
}

/** enum MetricType */
const METRIC_TYPES: Readonly<Record<string, number>> = { counter: 0, gauge: 1, histogram: 4 };
const UNTYPED = 3;

export function writeFamilyHead(
  writer: ProtobufWriter,
  { name, help, type }: Pick<MetricFamily, "name" | "help" | "type">,
): void {
  writer.string(1, name);
  writer.string(2, help);
  writer.uint(3, METRIC_TYPES[type] ?? UNTYPED);
}

/** Writes values of a metric behind its head. It may be called for one part of them after the other. */
export function writeFamilyValues(writer: ProtobufWriter, family: Omit<MetricFamily, "help">): void {
  const { type, values } = family;
  if (type === "histogram") {
    for (const distribution of distributionsOf(family)) {
      writer.message(4, (metric) => writeHistogram(metric, distribution));
    }
    return;
  }
  for (const { labels, value } of values) {
    writer.message(4, (metric) => {
      writeLabels(metric, labels);
      // Gauge gauge = 2, Counter counter = 3; both have double value = 1.
      metric.message(type === "gauge" ? 2 : 3, (single) => single.double(1, value));
    });
  }
}

/** The values of a histogram that have the same labels. */
interface Distribution {
  readonly labels: PromValue["labels"];
  readonly native: NativeHistogramData | undefined;
  readonly buckets: { readonly bound: number; readonly count: number }[];
  sum: number;
  count: number;
}

function distributionsOf({ name, values, native }: Omit<MetricFamily, "help">): Iterable<Distribution> {
  const distributions = new Map<string, Distribution>();
  for (const { metricName, labels: { le, ...labels }, value } of values) {
    const key = JSON.stringify(Object.entries(labels).sort());
    let distribution = distributions.get(key);
    if (distribution === undefined) {
      distribution = { labels, native: native(labels), buckets: [], sum: 0, count: 0 };
      distributions.set(key, distribution);
    }
    if (metricName === `${name}_sum`) distribution.sum = value;
    else if (metricName === `${name}_count`) distribution.count = value;
    else distribution.buckets.push({ bound: le === "+Inf" ? Infinity : Number(le), count: value });
  }
  return distributions.values();
}

function writeHistogram(metric: ProtobufWriter, { labels, native, buckets, sum, count }: Distribution): void {
  writeLabels(metric, labels);
  metric.message(7, (histogram) => {
    histogram.uint(1, count); // sample_count
    histogram.double(2, sum); // sample_sum
    for (const { bound, count } of buckets) {
      histogram.message(3, (bucket) => {
        bucket.uint(1, count); // cumulative_count
        bucket.double(2, bound); // upper_bound
      });
    }
    if (native !== undefined) writeNative(histogram, native);
  });
}

function writeNative(histogram: ProtobufWriter, native: NativeHistogramData): void {
  histogram.sint(5, native.schema);
  histogram.double(6, native.zeroThreshold);
  histogram.uint(7, native.zeroCount);
  writeSpans(histogram, 9, native.negative); // negative_span
  histogram.sints(10, native.negative.deltas); // negative_delta
  writeSpans(histogram, 12, native.positive); // positive_span
  histogram.sints(13, native.positive.deltas); // positive_delta
}

function writeSpans(histogram: ProtobufWriter, field: number, { spans }: SparseBuckets): void {
  for (const { offset, length } of spans) {
    histogram.message(field, (span) => {
      span.sint(1, offset);
      span.uint(2, length);
    });
  }
}

function writeLabels(metric: ProtobufWriter, labels: PromValue["labels"]): void {
  for (const [name, value] of Object.entries(labels)) {
    metric.message(1, (pair) => {
      pair.string(1, name);
      pair.string(2, String(value));
    });
  }
}
