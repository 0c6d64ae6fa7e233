import assert from "node:assert/strict";
import {
  plural,
  readableAge,
  readableNumber,
  readableSeconds,
} from "../../../../core/observe/status/readable.ts";

Deno.test("durations and numbers have a unit that fits and few digits", () => {
  const seconds = [0, 0.00002, 0.0012, 0.5, 3.44, 119, 120, 7200, 86_400, 864_000];
  assert.deepEqual(seconds.map(readableSeconds), [
    "0 µs",
    "20 µs",
    "1.2 ms",
    "500 ms",
    "3.4 s",
    "119 s",
    "2 min",
    "2 h",
    "24 h",
    "10 d",
  ]);
  assert.deepEqual([0, 7, 999, 1000, 12_345, 3.4e6, 5e9].map(readableNumber), [
    "0",
    "7",
    "999",
    "1 k",
    "12 k",
    "3.4 M",
    "5 G",
  ]);
});

Deno.test("the age of a moment is never negative", () => {
  const now = "2026-01-01T00:01:00Z";
  assert.equal(readableAge("2026-01-01T00:00:48Z", now), "12 s ago");
  assert.equal(readableAge("2026-01-01T00:02:00Z", now), "just now");
});

Deno.test("a count names one or more things", () => {
  assert.deepEqual([0, 1, 2, 12_000].map((count) => plural(count, "change")), [
    "0 changes",
    "1 change",
    "2 changes",
    "12 k changes",
  ]);
});
