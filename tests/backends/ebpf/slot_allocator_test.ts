import assert from "node:assert/strict";
import fc from "fast-check";
import type { SlotRange } from "../../../backends/ebpf/maps/layout.ts";
import { SlotAllocator } from "../../../backends/ebpf/services/slot_allocator.ts";

const LONG_AFTER_MS = 60_000;

Deno.test("the smallest block that is large enough is taken", () => {
  const slots = new SlotAllocator(20, [{ first: 3, count: 2 }, { first: 10, count: 1 }]);
  assert.deepEqual(slots.take(3, 0), { first: 0, count: 3 });
  assert.deepEqual(slots.take(5, 0), { first: 5, count: 5 });
  assert.deepEqual(slots.take(9, 0), { first: 11, count: 9 });
  assert.equal(slots.take(1, 0), undefined);
  assert.equal(slots.free, 0);
});

Deno.test("a retired block is not taken again within the grace period", () => {
  const slots = new SlotAllocator(4);
  const block = slots.take(4, 0);
  assert(block !== undefined);
  slots.retire(block, 100);
  assert.equal(slots.take(4, 1099), undefined);
  assert.deepEqual(slots.take(4, 1100), block);
});

Deno.test("blocks in use never overlap, and all slots are free again at the end", () => {
  const step = fc.oneof(
    fc.record({ take: fc.integer({ min: 0, max: 12 }) }),
    fc.record({ retire: fc.nat() }),
  );
  fc.assert(fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
    const capacity = 64;
    const slots = new SlotAllocator(capacity);
    const used: SlotRange[] = [];
    let now = 0;
    for (const step of steps) {
      now += LONG_AFTER_MS;
      if ("take" in step) {
        const block = slots.take(step.take, now);
        if (block !== undefined && block.count > 0) used.push(block);
      } else if (used.length > 0) {
        const [block] = used.splice(step.retire % used.length, 1);
        if (block !== undefined) slots.retire(block, now);
      }
      const usedSlots = new Set(
        used.flatMap(({ first, count }) => Array.from({ length: count }, (_, i) => first + i)),
      );
      assert.equal(usedSlots.size, used.reduce((sum, { count }) => sum + count, 0));
      assert([...usedSlots].every((slot) => slot < capacity));
    }
    // A new process, which knows only the blocks in use, has the same free slots.
    const later = new SlotAllocator(capacity, used);
    slots.take(0, now);
    for (const block of used) slots.retire(block, now);
    const usedCount = used.reduce((sum, { count }) => sum + count, 0);
    assert.equal(later.free, capacity - usedCount);
    slots.take(1, now + LONG_AFTER_MS);
    assert.equal(slots.free, capacity - 1);
  }));
});

Deno.test("blocks beyond the capacity are ignored, and no slot beyond it is taken", () => {
  const slots = new SlotAllocator(
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
