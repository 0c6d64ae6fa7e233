import assert from "node:assert/strict";
import { Exposition } from "../../../../core/observe/metrics/exposition/exposition.ts";
import { CONTENT_TYPES } from "../../../../core/observe/metrics/exposition/format.ts";
import { exponentialBuckets, linearBuckets } from "../../../../core/observe/metrics/registry/histogram.ts";
import {
  type CounterName,
  MetricRegistry,
  sampledGauge,
} from "../../../../core/observe/metrics/registry/registry.ts";
import type { Log } from "../../../../core/observe/log.ts";
import * as library from "prom-client";
import { textOf, valuesIn } from "./metrics_text.ts";
import { silentLog } from "../log/silent_log.ts";

Deno.test("metrics are exposed as text, and without samples only with what they are", async () => {
  const registry = new MetricRegistry();
  registry.counter({ name: "c_total", help: "a \\ help\nin two lines" }, "kind").inc({ kind: 'a"\\\n' }, 2);
  registry.gauge({ name: "g", help: "help" });
  registry.histogram({ name: "h", help: "help" }, [0.5, 1], "kind").observe({ kind: "a" }, 0.5);
  registry.readGauge({ name: "r", help: "help" }, ["kind"], () => []);
  assert.equal(
    await textOf(registry),
    '# HELP c_total a \\\\ help\\nin two lines\n# TYPE c_total counter\nc_total{kind="a\\"\\\\\\n"} 2\n\n' +
      "# HELP g help\n# TYPE g gauge\ng 0\n\n" +
      '# HELP h help\n# TYPE h histogram\nh_bucket{le="0.5",kind="a"} 1\nh_bucket{le="1",kind="a"} 1\n' +
      'h_bucket{le="+Inf",kind="a"} 1\nh_sum{kind="a"} 0.5\nh_count{kind="a"} 1\n\n' +
      "# HELP r help\n# TYPE r gauge\n",
  );
});

Deno.test("the names of the values are the same in OpenMetrics, and stay so afterwards", async () => {
  const registry = new MetricRegistry();
  registry.counter({ name: "c_total", help: "help" }).inc(2);
  const before = await textOf(registry);
  const openMetrics = await textOf(registry, { format: "openmetrics" });
  assert.equal(openMetrics, "# HELP c help\n# TYPE c counter\nc_total 2\n# EOF\n");
  assert.equal(await textOf(registry), before);
});

Deno.test("values that a scrape reads are those of now, and labels that are gone are not exposed", async () => {
  const registry = new MetricRegistry();
  let kinds = ["a", "b"];
  registry.readCounter(
    { name: "c_total", help: "help" },
    ["kind"],
    () => kinds.map((kind) => ({ labels: [kind], value: 7 })),
  );
  assert.deepEqual(valuesIn(await textOf(registry)), ['c_total{kind="a"} 7', 'c_total{kind="b"} 7']);
  kinds = ["c"];
  assert.deepEqual(valuesIn(await textOf(registry)), ['c_total{kind="c"} 7']);
});

Deno.test("a source that fails or hangs is logged, and the others are served", async () => {
  const registry = new MetricRegistry();
  registry.gauge({ name: "g", help: "help" });
  const problems: string[] = [];
  const log: Log = { ...silentLog, error: (_, fields) => problems.push(String(fields?.source)) };
  const here = sampledGauge({ name: "here", help: "help" }, [], () => [{ labels: [], value: 1 }]);
  const sources = [
    { name: "broken", read: () => Promise.reject(new Error("broken")) },
    { name: "hanging", read: () => new Promise<never>(() => {}) },
    { name: "working", read: () => Promise.resolve([here]) },
  ];
  const body = await new Exposition({ registry, sources, log, sourceMs: 20 }).body("text");
  assert.deepEqual(valuesIn(String(body)), ["g 0", "here 1"]);
  assert.deepEqual(problems.sort(), ["broken", "hanging"]);
});

Deno.test("scrapes that wait share one answer, which is newer than each of them", async () => {
  const registry = new MetricRegistry();
  const gauge = registry.gauge({ name: "g", help: "help" });
  let reads = 0;
  const gate = Promise.withResolvers<readonly never[]>();
  const slow = { name: "slow", read: () => (reads++, gate.promise) };
  const exposition = new Exposition({ registry, sources: [slow], log: silentLog });
  const first = exposition.body("text");
  await Promise.resolve();
  const later = Array.from({ length: 1000 }, () => exposition.body("text"));
  gauge.set(1);
  gate.resolve([]);
  await first;
  assert.deepEqual(
    new Set((await Promise.all(later)).map((body) => valuesIn(String(body)).join())),
    new Set(["g 1"]),
  );
  assert.ok(reads <= 2, `the source was read ${reads} times`);
});

Deno.test("scraping without a pause uses a tenth of the time", async () => {
  const registry = new MetricRegistry();
  const busy = {
    name: "busy",
    read: () => {
      for (const end = performance.now() + 10; performance.now() < end;);
      return Promise.resolve([]);
    },
  };
  const exposition = new Exposition({ registry, sources: [busy], log: silentLog });
  const started = performance.now();
  for (let scrape = 0; scrape < 4; scrape++) await exposition.body("text");
  // Three pauses of nine times 10 ms.
  assert.ok(performance.now() - started > 250);
});

Deno.test("a large exposition lets other work have its turn", async () => {
  const registry = new MetricRegistry();
  for (let metric = 0; metric < 20; metric++) {
    const samples = Array.from(
      { length: 1000 },
      (_, index) => ({ labels: [`service-${index}`], value: index }),
    );
    registry.readCounter({ name: `c${metric}_total`, help: "help" }, ["service"], () => samples);
  }
  for (const format of ["text", "openmetrics", "protobuf"] as const) {
    let turns = 0;
    const timer = setInterval(() => turns++, 0);
    await textOf(registry, { format });
    clearInterval(timer);
    assert.ok(turns >= 3, `${turns} turns`);
  }
});

Deno.test("names of counters end in _total, so that OpenMetrics does not change them", () => {
  const name: CounterName = "c_total";
  assert.equal(name, "c_total");
  // @ts-expect-error: any other name is an error of the compiler.
  const _other: CounterName = "c";
});

Deno.test("the content types are those of the library", () => {
  assert.equal(CONTENT_TYPES.text, library.Registry.PROMETHEUS_CONTENT_TYPE);
  assert.equal(CONTENT_TYPES.openmetrics, library.Registry.OPENMETRICS_CONTENT_TYPE);
});

Deno.test("buckets are those of the library's generators", () => {
  assert.deepEqual(exponentialBuckets(0.001, 2, 15), library.exponentialBuckets(0.001, 2, 15));
  assert.deepEqual(linearBuckets(60, 5, 12), library.linearBuckets(60, 5, 12));
});
