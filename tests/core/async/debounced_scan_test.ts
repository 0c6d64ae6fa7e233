import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import { DebouncedScan } from "../../../core/async/debounced_scan.ts";

/** A scan whose turns are written down: for what, and when since it was made. */
function recorded(settleMs: number, workMs = 0) {
  const turns: { readonly mark: number; readonly ms: number }[] = [];
  const began = performance.now();
  const scan = new DebouncedScan(async (mark) => {
    turns.push({ mark, ms: performance.now() - began });
    if (workMs > 0) await delay(workMs);
  }, settleMs);
  const until = async (count: number) => {
    const deadline = performance.now() + 5000;
    while (turns.length < count && performance.now() < deadline) await delay(5);
    assert.equal(turns.length, count);
  };
  return { scan, turns, until };
}

Deno.test("a scan is done once for all who ask until then", async () => {
  const { scan, turns, until } = recorded(30);
  for (let ask = 0; ask < 5; ask++) scan.request();
  await until(1);
  assert((turns[0]?.ms ?? 0) >= 29);
  await delay(60);
  assert.equal(turns.length, 1);
  scan.request();
  await until(2);
});

Deno.test("what is asked for while a scan waits settles before one of its own", async () => {
  const { scan, turns, until } = recorded(40);
  scan.request(7);
  await delay(10);
  scan.request(8);
  scan.request(9);
  await until(2);
  assert.deepEqual(turns.map(({ mark }) => mark), [7, 9]);
  assert((turns[1]?.ms ?? 0) - (turns[0]?.ms ?? 0) >= 39);
});

Deno.test("who asks while a scan is under way gets another, which waits the longer the longer that takes", async () => {
  const { scan, turns, until } = recorded(1, 20);
  scan.request();
  await until(1);
  scan.request();
  await until(2);
  assert((turns[1]?.ms ?? 0) - (turns[0]?.ms ?? 0) >= 200);
  await delay(30);
  scan[Symbol.dispose]();
});

Deno.test("what is disposed of scans no more", async () => {
  const { scan, turns, until } = recorded(5, 20);
  scan.request(1);
  await until(1);
  scan.request(2);
  scan[Symbol.dispose]();
  scan.request(3);
  await delay(300);
  assert.equal(turns.length, 1);
});
