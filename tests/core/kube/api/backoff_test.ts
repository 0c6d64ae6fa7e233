import { deepEqual, equal } from "node:assert/strict";
import { Backoff } from "../../../../core/kube/api/backoff.ts";

Deno.test("delays double up to the maximum, and start again after a success", () => {
  const backoff = new Backoff(100, 1000, () => 1);
  deepEqual(Array.from({ length: 6 }, () => backoff.next()), [100, 200, 400, 800, 1000, 1000]);
  backoff.reset();
  equal(backoff.next(), 100);
});

Deno.test("a delay is random between zero and the limit", () => {
  const backoff = new Backoff(100, 1000, () => 0.25);
  deepEqual([backoff.next(), backoff.next()], [25, 50]);
});

Deno.test("thousands of failures do not overflow", () => {
  const backoff = new Backoff(100, 1000, () => 1);
  for (let i = 0; i < 5000; i++) backoff.next();
  equal(backoff.next(), 1000);
});
