import assert from "node:assert/strict";
import fc from "fast-check";
import { formatDuration, parseDuration } from "../../../core/config/document/duration.ts";

Deno.test("durations are parsed as in Go", () => {
  const cases: Record<string, number> = {
    "30s": 30_000,
    "1m30s": 90_000,
    "100ms": 100,
    "1h": 3_600_000,
    "1.5h": 5_400_000,
    ".5s": 500,
    "-2s": -2000,
    "+2s": 2000,
    "0": 0,
    "250us": 0.25,
    "250µs": 0.25,
  };
  for (const [text, ms] of Object.entries(cases)) assert.equal(parseDuration(text), ms, text);
});

Deno.test("a text that Go rejects is not a duration", () => {
  for (const text of ["", "5", "s", "5x", "1h 2m", "1,5s", "--1s", "1e3s", "9999999h", "30S"]) {
    assert.equal(parseDuration(text), undefined, text);
  }
});

Deno.test("durations are formatted as in Go", () => {
  const cases: Record<string, number> = {
    "0s": 0,
    "24h0m0s": 86_400_000,
    "15m0s": 900_000,
    "1m30s": 90_000,
    "1.5s": 1500,
    "100ms": 100,
    "250µs": 0.25,
    "-2s": -2000,
  };
  for (const [text, ms] of Object.entries(cases)) assert.equal(formatDuration(ms), text);
});

Deno.test("a formatted duration is parsed to the same value", () => {
  fc.assert(fc.property(fc.integer({ min: 0, max: 1e12 }), (ms) => parseDuration(formatDuration(ms)) === ms));
});
