import assert from "node:assert/strict";
import fc from "fast-check";
import * as library from "prom-client";
import {
  CONTENT_TYPE,
  Counter,
  exponentialBuckets,
  Gauge,
  Histogram,
} from "../../../core/observe/metrics/exposition.ts";

const label = fc.oneof(fc.constantFrom("IPv4", "IPv6"), fc.string());
const declared = { name: "m", help: "some \\ help\nin two lines", labels: ["a", "b"] };
const toLibrary = { name: declared.name, help: declared.help, labelNames: declared.labels, registers: [] };

async function libraryText(metric: library.Gauge | library.Counter | library.Histogram): Promise<string> {
  const registry = new library.Registry();
  registry.registerMetric(metric);
  return (await registry.metrics()).replace(/\n+$/, "\n");
}

Deno.test("gauges and counters have the text of the reference library", async () => {
  await fc.assert(fc.asyncProperty(
    fc.array(fc.tuple(label, label, fc.double({ min: 0, noNaN: true })), { minLength: 1 }),
    async (samples) => {
      const [gauge, counter] = [new Gauge(declared), new Counter(declared)];
      const [libraryGauge, libraryCounter] = [new library.Gauge(toLibrary), new library.Counter(toLibrary)];
      for (const [a, b, value] of samples) {
        gauge.set(value, a, b);
        libraryGauge.set({ a, b }, value);
        const by = Math.min(value, 1e6);
        counter.increment(by, a, b);
        libraryCounter.inc({ a, b }, by);
      }
      assert.equal(gauge.text(), await libraryText(libraryGauge));
      assert.equal(counter.text(), await libraryText(libraryCounter));
    },
  ));
});

/**
 * Sorts the labels inside the braces. The format does not define their order, and the library uses another
 * one.
 */
function normalised(text: string): string[] {
  return text.trimEnd().split("\n").map((line) =>
    line.replace(/\{(.*)\}/, (_, labels: string) => `{${labels.split(",").sort().join(",")}}`)
  );
}

Deno.test("histograms have the text of the reference library", async () => {
  const buckets = exponentialBuckets(0.001, 2, 15);
  const value = fc.oneof(fc.double({ min: 0, max: 40, noNaN: true }), fc.constantFrom(...buckets));
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.constantFrom("IPv4", "IPv6"), value), { minLength: 1 }),
      async (samples) => {
        const ours = new Histogram({ ...declared, labels: ["a"] }, buckets);
        const theirs = new library.Histogram({ ...toLibrary, labelNames: ["a"], buckets: [...buckets] });
        for (const [a, seconds] of samples) {
          ours.observe(seconds, a);
          theirs.observe({ a }, seconds);
        }
        assert.deepEqual(normalised(ours.text()), normalised(await libraryText(theirs)));
      },
    ),
  );
});

Deno.test("a metric without labels has a sample from the start, one with labels has none", () => {
  assert.equal(new Gauge({ name: "g", help: "h" }).text(), "# HELP g h\n# TYPE g gauge\ng 0\n");
  assert.equal(new Gauge(declared).text(), "");
});

Deno.test("a wrong number of label values throws", () => {
  assert.throws(() => new Gauge(declared).set(1, "one"), RangeError);
});

Deno.test("the content type is that of the text format", () => {
  assert.equal(CONTENT_TYPE, library.Registry.PROMETHEUS_CONTENT_TYPE);
});
