import assert from "node:assert/strict";
import fc from "fast-check";
import type { SlotRange } from "../../../backends/ebpf/maps/layout.ts";
import { Slots } from "../../../backends/ebpf/services/slots.ts";

const LONG_AFTER_MS = 60_000;

Deno.test("the smallest run that is large enough is taken", () => {
  const slots = new Slots(20, [{ first: 3, count: 2 }, { first: 10, count: 1 }]);
  assert.deepEqual(slots.take(3, 0), { first: 0, count: 3 });
  assert.deepEqual(slots.take(5, 0), { first: 5, count: 5 });
  assert.deepEqual(slots.take(9, 0), { first: 11, count: 9 });
  assert.equal(slots.take(1, 0), undefined);
  assert.equal(slots.free, 0);
});

Deno.test("a run that a program may still read is not taken again before its time", () => {
  const slots = new Slots(4);
  const run = slots.take(4, 0);
  assert(run !== undefined);
  slots.retire(run, 100);
  assert.equal(slots.take(4, 1099), undefined);
  assert.deepEqual(slots.take(4, 1100), run);
});

Deno.test("runs that were taken never overlap, and all can be had again at the end", () => {
  const step = fc.oneof(
    fc.record({ take: fc.integer({ min: 0, max: 12 }) }),
    fc.record({ giveUp: fc.nat() }),
  );
  fc.assert(fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
    const capacity = 64;
    const slots = new Slots(capacity);
    const taken: SlotRange[] = [];
    let now = 0;
    for (const step of steps) {
      now += LONG_AFTER_MS;
      if ("take" in step) {
        const run = slots.take(step.take, now);
        if (run !== undefined && run.count > 0) taken.push(run);
      } else if (taken.length > 0) {
        const [run] = taken.splice(step.giveUp % taken.length, 1);
        if (run !== undefined) slots.retire(run, now);
      }
      const owners = new Set(
        taken.flatMap(({ first, count }) => Array.from({ length: count }, (_, i) => first + i)),
      );
      assert.equal(owners.size, taken.reduce((sum, { count }) => sum + count, 0));
      assert([...owners].every((slot) => slot < capacity));
    }
    // Another process, that knows only what is in use, has the same slots to give.
    const later = new Slots(capacity, taken);
    slots.take(0, now);
    for (const run of taken) slots.retire(run, now);
    const used = taken.reduce((sum, { count }) => sum + count, 0);
    assert.equal(later.free, capacity - used);
    slots.take(1, now + LONG_AFTER_MS);
    assert.equal(slots.free, capacity - 1);
  }));
});

Deno.test("what was found may be nonsense: no slot beyond the capacity is ever given", () => {
  const slots = new Slots(
    10,
    [{ first: 2, count: 3 }],
    [{ first: 4000, count: 5 }, { first: 1, count: 2 }],
    0,
  );
  assert.deepEqual(slots.take(5, 0), { first: 5, count: 5 });
  assert.deepEqual(slots.take(1, 0), { first: 0, count: 1 });
  assert.equal(slots.take(1, 0), undefined);
  assert.deepEqual(slots.take(1, 1000), { first: 1, count: 1 });
});
