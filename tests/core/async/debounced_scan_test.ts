import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import { DebouncedScan } from "../../../core/async/debounced_scan.ts";

/** A scan that records its runs: the mark and the time since it was created. */
function recorded(settleMs: number, workMs = 0) {
  const runs: { readonly mark: number; readonly ms: number }[] = [];
  const began = performance.now();
  const scan = new DebouncedScan(async (mark) => {
    runs.push({ mark, ms: performance.now() - began });
    if (workMs > 0) await delay(workMs);
  }, settleMs);
  const until = async (count: number) => {
    const deadline = performance.now() + 5000;
    while (runs.length < count && performance.now() < deadline) await delay(5);
    assert.equal(runs.length, count);
  };
  return { scan, runs, until };
}

Deno.test("requests before a scan share it", async () => {
  const { scan, runs, until } = recorded(30);
  for (let request = 0; request < 5; request++) scan.request();
  await until(1);
  assert((runs[0]?.ms ?? 0) >= 29);
  await delay(60);
  assert.equal(runs.length, 1);
  scan.request();
  await until(2);
});

Deno.test("a larger mark that is requested while a scan waits gets a scan of its own", async () => {
  const { scan, runs, until } = recorded(40);
  scan.request(7);
  await delay(10);
  scan.request(8);
  scan.request(9);
  await until(2);
  assert.deepEqual(runs.map(({ mark }) => mark), [7, 9]);
  assert((runs[1]?.ms ?? 0) - (runs[0]?.ms ?? 0) >= 39);
});

Deno.test("a request during a scan gets another scan, which waits longer the longer the first one took", async () => {
  const { scan, runs, until } = recorded(1, 20);
  scan.request();
  await until(1);
  scan.request();
  await until(2);
  assert((runs[1]?.ms ?? 0) - (runs[0]?.ms ?? 0) >= 200);
  await delay(30);
  scan[Symbol.dispose]();
});

Deno.test("a disposed scan runs no more", async () => {
  const { scan, runs, until } = recorded(5, 20);
  scan.request(1);
  await until(1);
  scan.request(2);
  scan[Symbol.dispose]();
  scan.request(3);
  await delay(300);
  assert.equal(runs.length, 1);
});
