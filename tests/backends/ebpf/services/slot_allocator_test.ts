import assert from "node:assert/strict";
import fc from "fast-check";
import type { SlotRange } from "../../../../backends/ebpf/maps/layout.ts";
import { SlotAllocator } from "../../../../backends/ebpf/services/slot_allocator.ts";

/** No program runs in these tests. */
const noPrograms = () => {};

Deno.test("the smallest block that is large enough is taken", () => {
  const slots = new SlotAllocator(20, noPrograms, [{ first: 3, count: 2 }, { first: 10, count: 1 }]);
  assert.deepEqual(slots.take(3), { first: 0, count: 3 });
  assert.deepEqual(slots.take(5), { first: 5, count: 5 });
  assert.deepEqual(slots.take(9), { first: 11, count: 9 });
  assert.equal(slots.take(1), undefined);
  assert.equal(slots.free, 0);
});

Deno.test("a retired block is taken again only after programs ended that may read it, and only if no other is free", () => {
  let waits = 0;
  const slots = new SlotAllocator(8, () => waits++);
  const first = slots.take(4);
  assert(first !== undefined);
  slots.retire(first);
  assert.deepEqual(slots.take(4), { first: 4, count: 4 });
  assert.equal(waits, 0);
  assert.equal(slots.used, 4);
  assert.deepEqual(slots.take(4), first);
  assert.equal(waits, 1);
  assert.equal(slots.take(1), undefined);
  assert.equal(waits, 1, "nothing is retired, so waiting would free nothing");
});

Deno.test("a block that a service names is not taken until the service is replaced, however long one waits", () => {
  let waits = 0;
  const slots = new SlotAllocator(4, () => waits++, [{ first: 0, count: 2 }], [{ first: 1, count: 3 }]);
  assert.equal(slots.take(1), undefined);
  assert.equal(waits, 0);
  slots.retireNamed();
  assert.deepEqual(slots.take(2), { first: 2, count: 2 });
  assert.equal(waits, 1);
});

Deno.test("blocks in use never overlap, and all slots are free again at the end", () => {
  const step = fc.oneof(
    fc.record({ take: fc.integer({ min: 0, max: 12 }) }),
    fc.record({ retire: fc.nat() }),
  );
  fc.assert(fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
    const capacity = 64;
    const slots = new SlotAllocator(capacity, noPrograms);
    const used: SlotRange[] = [];
    for (const step of steps) {
      if ("take" in step) {
        const block = slots.take(step.take);
        if (block !== undefined && block.count > 0) used.push(block);
      } else if (used.length > 0) {
        const [block] = used.splice(step.retire % used.length, 1);
        if (block !== undefined) slots.retire(block);
      }
      const usedSlots = new Set(
        used.flatMap(({ first, count }) => Array.from({ length: count }, (_, i) => first + i)),
      );
      const usedCount = used.reduce((sum, { count }) => sum + count, 0);
      assert.equal(usedSlots.size, usedCount);
      assert.equal(slots.used, usedCount);
      assert([...usedSlots].every((slot) => slot < capacity));
    }
    // A new process, which knows only the blocks in use, has the same free slots.
    const later = new SlotAllocator(capacity, noPrograms, used);
    assert.equal(later.used, slots.used);
    for (const block of used) slots.retire(block);
    assert.deepEqual(slots.take(capacity), { first: 0, count: capacity });
  }));
});

Deno.test("blocks beyond the capacity are ignored, and no slot beyond it is taken", () => {
  const slots = new SlotAllocator(
    10,
    noPrograms,
    [{ first: 2, count: 3 }],
    [{ first: 4000, count: 5 }, { first: 1, count: 2 }],
  );
  assert.deepEqual(slots.take(5), { first: 5, count: 5 });
  assert.deepEqual(slots.take(1), { first: 0, count: 1 });
  assert.equal(slots.take(1), undefined);
  slots.retireNamed();
  assert.deepEqual(slots.take(1), { first: 1, count: 1 });
});
