import assert from "node:assert/strict";
import fc from "fast-check";
import { bucketIndex, NativeHistogram } from "../../../../core/observe/metrics/registry/native_histogram.ts";

function observed(values: Iterable<number>): NativeHistogram {
  const histogram = new NativeHistogram();
  for (const value of values) histogram.observe(value);
  return histogram;
}

// The golden values are what client_golang 1.24 writes for NativeHistogramBucketFactor 1.1 and
// NativeHistogramMaxBucketNumber 160.
Deno.test("buckets are those of client_golang, also for 0, negative values and values on a bound", () => {
  const values = [
    ...[0.001, 0.001, 0.002, 0.0021, 0.5, 1, 1.05, 1.09, 1.0905077326652577, 2, 4, 100],
    ...[0, -0.5, -3, 1e-40],
  ];
  const { schema, zeroCount, zeroThreshold, positive, negative, count } = observed(values).data;
  assert.deepEqual({ schema, zeroCount, zeroThreshold, count }, {
    schema: 3,
    zeroCount: 2,
    zeroThreshold: 2.938735877055719e-39,
    count: 16,
  });
  assert.deepEqual(runs(positive.spans), [[-79, 1], [7, 1], [62, 1], [7, 2], [6, 1], [7, 1], [37, 1]]);
  assert.deepEqual(positive.deltas, [2, 0, -1, 0, 2, -2, 0, 0]);
  assert.deepEqual(runs(negative.spans), [[-8, 1], [20, 1]]);
  assert.deepEqual(negative.deltas, [1, 0]);
});

Deno.test("a histogram has at most 160 buckets: it becomes coarser, as client_golang's does", () => {
  const many = observed(Array.from({ length: 400 }, (_, index) => 1.1 ** (index - 200))).data;
  assert.deepEqual([many.schema, runs(many.positive.spans)], [1, [[-55, 111]]]);
  assert.deepEqual(many.positive.deltas.slice(0, 8), [1, 2, 1, -1, 1, 0, -1, 1]);
  const huge = observed(Array.from({ length: 201 }, (_, index) => 10 ** ((3 * index - 300) / 10))).data;
  assert.deepEqual([huge.schema, runs(huge.positive.spans)], [-1, [[-49, 100]]]);
});

Deno.test("no values have no buckets", () => {
  const { positive, count, sum } = observed([]).data;
  assert.deepEqual([positive, count, sum], [{ spans: [], deltas: [] }, 0, 0]);
});

Deno.test("every value is in its bucket, in every schema", () => {
  fc.assert(fc.property(
    fc.double({ min: 1e-30, max: 1e30, noNaN: true }),
    fc.integer({ min: -4, max: 3 }),
    (value, schema) => {
      const index = bucketIndex(value, schema);
      assert.ok(value > 2 ** ((index - 1) / 2 ** schema));
      assert.ok(value <= 2 ** (index / 2 ** schema));
    },
  ));
});

function runs(spans: readonly { readonly offset: number; readonly length: number }[]): readonly number[][] {
  return spans.map(({ offset, length }) => [offset, length]);
}
