import assert from "node:assert/strict";
import { allOf, complaints, type Figure } from "./support/figure.ts";

Deno.test("a figure complains if it misses its bound, or is worse than mode nftables by more than chance", () => {
  const all = allOf("connections", 10, 10);
  assert.deepEqual(complaints([all], [all]), []);
  assert.deepEqual(complaints([{ ...all, value: 9 }], [{ ...all, value: 8 }]), [
    "connections: 9 of 10; the bound is 10",
  ]);
  const unbounded = { ...all, bound: { atLeast: 0 }, tolerance: 0.1 };
  assert.deepEqual(complaints([{ ...unbounded, value: 9 }], [all]), []);
  assert.deepEqual(complaints([{ ...unbounded, value: 8 }], [all]), [
    "connections: 8 of 10; mode nftables: 10 of 10",
  ]);
});

Deno.test("a figure that is better the lower it is complains if it is higher", () => {
  const errors: Figure = { what: "errors", value: 6, of: 1000, bound: { atMost: 0.1 }, tolerance: 0.01 };
  assert.deepEqual(complaints([errors], [errors]), []);
  assert.deepEqual(complaints([{ ...errors, value: 0 }], [errors]), []);
  assert.deepEqual(complaints([{ ...errors, value: 50 }], [errors]), [
    "errors: 50 of 1,000; mode nftables: 6 of 1,000",
  ]);
  assert.deepEqual(complaints([{ ...errors, value: 150 }], [{ ...errors, value: 150 }]), [
    "errors: 150 of 1,000; the bound is 100",
  ]);
});
