import assert from "node:assert/strict";
import { History } from "../../../../core/observe/status/history.ts";

const START = 1_800_000_000_000;
const partial = { full: false, seconds: 0.001, changes: 1, lagSeconds: undefined };

Deno.test("syncs within ten seconds share a bucket, which keeps the longest sync and the largest lag", () => {
  const history = new History();
  history.add({ ...partial, lagSeconds: 0.2 }, START);
  history.add({ ...partial, seconds: 0.5, changes: 3, lagSeconds: 0.1 }, START + 9_000);
  history.add({ ...partial, full: true }, START + 9_999);
  history.add(partial, START + 10_000);
  assert.deepEqual(history.lastHour(START + 10_000), [
    { at: START / 1000, partialSyncs: 2, fullSyncs: 1, changes: 5, syncSeconds: 0.5, lagSeconds: 0.2 },
    { at: START / 1000 + 10, partialSyncs: 1, fullSyncs: 0, changes: 1, syncSeconds: 0.001 },
  ]);
});

Deno.test("the history holds one hour, however long the process runs", () => {
  const history = new History();
  for (let ms = 0; ms < 2 * 3_600_000; ms += 10_000) history.add(partial, START + ms);
  const end = START + 2 * 3_600_000 - 10_000;
  const buckets = history.lastHour(end);
  assert.equal(buckets.length, 360);
  assert.deepEqual([buckets[0]?.at, buckets.at(-1)?.at], [end / 1000 - 3590, end / 1000]);
  assert.deepEqual(history.lastHour(end + 3_600_000), []);
});
