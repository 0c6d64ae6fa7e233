import assert from "node:assert/strict";
import fc from "fast-check";
import { Exposition } from "../../../../core/observe/metrics/exposition/exposition.ts";
import { ProtobufWriter } from "../../../../core/observe/metrics/exposition/protobuf_writer.ts";
import { MetricRegistry } from "../../../../core/observe/metrics/registry/registry.ts";
import { type Field, fieldsOf, messagesIn } from "./protobuf_reader.ts";
import { silentLog } from "../log/silent_log.ts";

/** Fields of io.prometheus.client.MetricFamily and of the messages in it that are messages themselves, by path. */
const MESSAGES = ["4", "4.1", "4.2", "4.3", "4.7", "4.7.3", "4.7.9", "4.7.12"];
const STRINGS = ["1", "2", "4.1.1", "4.1.2"];

type Tree = readonly (readonly [field: number, value: number | string | Tree])[];

function treeOf(bytes: Uint8Array, path = ""): Tree {
  return fieldsOf(bytes).map(({ field, value }: Field) => {
    const here = path === "" ? String(field) : `${path}.${field}`;
    if (typeof value === "number") return [field, value];
    if (STRINGS.includes(here)) return [field, new TextDecoder().decode(value)];
    assert.ok(MESSAGES.includes(here), `bytes in field ${here}`);
    return [field, treeOf(value, here)];
  });
}

async function familiesOf(registry: MetricRegistry): Promise<readonly Tree[]> {
  const body = await new Exposition({ registry, sources: [], log: silentLog }).body("protobuf");
  assert.ok(body instanceof Uint8Array);
  return messagesIn(body).map((message) => treeOf(message));
}

Deno.test("counters and gauges are messages with their labels", async () => {
  const registry = new MetricRegistry();
  registry.counter({ name: "c_total", help: "counts" }, "kind").inc({ kind: "ü" }, 3);
  registry.gauge({ name: "g", help: "gauges" }).set(-1.5);
  assert.deepEqual(await familiesOf(registry), [
    [[1, "c_total"], [2, "counts"], [3, 0], [4, [[1, [[1, "kind"], [2, "ü"]]], [3, [[1, 3]]]]]],
    [[1, "g"], [2, "gauges"], [3, 1], [4, [[2, [[1, -1.5]]]]]],
  ]);
});

Deno.test("a histogram has its classic and its native buckets", async () => {
  const registry = new MetricRegistry();
  const histogram = registry.histogram({ name: "h", help: "h" }, [1, 2], "kind");
  for (const value of [1, 1.5, 8]) histogram.observe({ kind: "a" }, value);
  histogram.observe({ kind: "b" }, -1);
  const bucket = (count: number, bound: number) => [3, [[1, count], [2, bound]]] as const;
  const zero = [[5, 6], [6, 2 ** -128], [7, 0]] as const;
  assert.deepEqual(await familiesOf(registry), [[
    [1, "h"],
    [2, "h"],
    [3, 4],
    [4, [
      [1, [[1, "kind"], [2, "a"]]],
      [7, [
        [1, 3],
        [2, 10.5],
        ...[bucket(1, 1), bucket(2, 2), bucket(3, Infinity)],
        ...zero,
        // Bucket 0 is that of 1, bucket 5 that of 1.5, and bucket 24 that of 8.
        ...[[12, [[1, 0], [2, 1]]], [12, [[1, 8], [2, 1]]], [12, [[1, 36], [2, 1]]]] as const,
        ...[[13, 2], [13, 0], [13, 0]] as const,
      ]],
    ]],
    [4, [
      [1, [[1, "kind"], [2, "b"]]],
      [7, [
        [1, 1],
        [2, -1],
        ...[bucket(1, 1), bucket(1, 2), bucket(1, Infinity)],
        ...zero,
        ...[[9, [[1, 0], [2, 1]]], [10, 2]] as const,
      ]],
    ]],
  ]]);
});

Deno.test("without the feature gate a histogram has classic buckets only", async () => {
  const registry = new MetricRegistry(false);
  registry.histogram({ name: "h", help: "h" }, [1], "kind").observe({ kind: "a" }, 1);
  const [family] = await familiesOf(registry);
  assert.ok(!JSON.stringify(family).includes("[5,6]"));
  assert.ok(JSON.stringify(family).includes("[3,[[1,1],[2,1]]]"));
});

Deno.test("numbers of more than 32 bits are encoded as whole numbers", () => {
  fc.assert(fc.property(fc.maxSafeNat(), (value) => {
    const writer = new ProtobufWriter(1);
    writer.uint(1, value);
    writer.string(2, "x".repeat(value % 300));
    assert.deepEqual(
      fieldsOf(writer.bytes).map(({ value }) => typeof value === "number" ? value : value.length),
      [
        value,
        value % 300,
      ],
    );
  }));
});
