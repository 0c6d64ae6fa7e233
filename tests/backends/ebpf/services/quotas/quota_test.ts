import assert from "node:assert/strict";
import fc from "fast-check";
import { Quota } from "../../../../../backends/ebpf/services/quotas/quota.ts";

const CAPACITY = 1000;

/** Has a namespace take one after the other until it is rejected. @returns what it has then */
function takeAll(quota: Quota, namespace: string): number {
  while (quota.admits(namespace, 1)) quota.count(namespace, 1);
  return quota.of(namespace);
}

Deno.test("one namespace alone gets three quarters, and each that follows half of what is left", () => {
  const quota = new Quota(CAPACITY);
  assert.deepEqual(["a", "b", "c", "d"].map((namespace) => takeAll(quota, namespace)), [750, 125, 62, 31]);
  assert.equal(quota.free, 32);
  assert.equal(quota.isScarce, true);
  assert.deepEqual(quota.largest, { namespace: "a", used: 750 });
});

Deno.test("while a quarter is free, nobody is rejected, however much a namespace has", () => {
  const quota = new Quota(CAPACITY);
  quota.count("a", 740);
  assert(quota.admits("a", 10));
  assert(!quota.admits("a", 11));
  assert(!quota.admits("a", 10, 1), "what nobody is charged for takes room, too");
  assert(quota.admits("b", 100));
});

Deno.test("many small namespaces use the room to the end, and no count exceeds it", () => {
  const quota = new Quota(CAPACITY);
  quota.count("large", 750);
  const served = Array.from({ length: 300 }, (_, index) => `small-${index}`).filter((namespace) => {
    const isAdmitted = quota.admits(namespace, 1);
    if (isAdmitted) quota.count(namespace, 1);
    return isAdmitted;
  });
  assert.equal(served.length, 249);
  assert.equal(quota.free, 1);
  quota.count("large", -200);
  assert(quota.admits("small-299", 1));
});

Deno.test("whatever namespaces have taken before, a new one gets something", () => {
  const step = fc.tuple(fc.constantFrom("a", "b", "c"), fc.integer({ min: 1, max: 400 }), fc.boolean());
  fc.assert(fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
    const quota = new Quota(CAPACITY);
    for (const [namespace, amount, isGivenBack] of steps) {
      if (isGivenBack) quota.count(namespace, -Math.min(amount, quota.of(namespace)));
      else if (quota.admits(namespace, amount)) quota.count(namespace, amount);
    }
    // Three namespaces leave at least an eighth of the last quarter.
    assert(takeAll(quota, "new") >= Math.floor(CAPACITY / 4 / 8 / 2), `${quota.free} are free`);
  }));
});
