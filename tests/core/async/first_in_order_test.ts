import assert from "node:assert/strict";
import { firstInOrder } from "../../../core/async/first_in_order.ts";

const ascending = (a: number, b: number) => a - b;

/** Numbers in an order that looks random and is the same each time. */
function scattered(count: number): number[] {
  return Array.from({ length: count }, (_, n) => n * 7919 % 10_007);
}

Deno.test("the first items are those of a sorted list, however many there are", async () => {
  for (const items of [[], [3], scattered(300), scattered(9000), scattered(9000).sort(ascending).reverse()]) {
    for (const count of [0, 1, 50, 2000, 20_000]) {
      assert.deepEqual(
        await firstInOrder(items, count, ascending),
        items.toSorted(ascending).slice(0, count),
      );
    }
  }
});

Deno.test("other work runs while many items are sorted", async () => {
  let turns = 0;
  const timer = setInterval(() => turns++, 0);
  const slowly = (a: number, b: number) => {
    for (const end = performance.now() + 0.01; performance.now() < end;);
    return a - b;
  };
  await firstInOrder(scattered(3000), 3000, slowly);
  clearInterval(timer);
  assert.ok(turns > 10, `${turns} turns`);
});
