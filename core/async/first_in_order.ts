import { eachInTurns, turns } from "./turns.ts";

type Compare<Item> = (a: Item, b: Item) => number;

/** Items that are sorted in one go. */
const SORTED_AT_ONCE = 64;
/** Items that are kept at least before those behind the first `count` are left out. */
const MIN_KEPT = 1000;

/**
 * Selects the first of many items in an order, and sorts them, in turns. Sorting all of them would take longer, and hold
 * other work up.
 * @param items undefined stands for an item that is left out.
 */
export async function firstInOrder<Item>(
  items: Iterable<Item | undefined>,
  count: number,
  compare: Compare<Item>,
): Promise<Item[]> {
  const maxKept = Math.max(2 * count, MIN_KEPT);
  let kept: Item[] = [];
  let last: Item | undefined;
  for (const item of items) {
    if (item !== undefined && (last === undefined || compare(item, last) < 0)) kept.push(item);
    if (kept.length >= maxKept) {
      kept = (await sortInTurns(kept, compare)).slice(0, count);
      last = kept.at(-1);
    }
    if (turns.isOver) await turns.next();
  }
  return (await sortInTurns(kept, compare)).slice(0, count);
}

/** Sorts small parts, and merges them. */
async function sortInTurns<Item>(items: readonly Item[], compare: Compare<Item>): Promise<Item[]> {
  let parts: Item[][] = [];
  for (let start = 0; start < items.length; start += SORTED_AT_ONCE) {
    parts.push(items.slice(start, start + SORTED_AT_ONCE).sort(compare));
    if (turns.isOver) await turns.next();
  }
  while (parts.length > 1) {
    const merged: Item[][] = [];
    for (let index = 0; index < parts.length; index += 2) {
      merged.push(await merge(parts[index] ?? [], parts[index + 1] ?? [], compare));
    }
    parts = merged;
  }
  return parts[0] ?? [];
}

async function merge<Item>(
  a: readonly Item[],
  b: readonly Item[],
  compare: Compare<Item>,
): Promise<Item[]> {
  if (b.length === 0) return [...a];
  const merged: Item[] = [];
  let next = 0;
  await eachInTurns(a, (item) => {
    for (let other = b[next]; other !== undefined && compare(other, item) < 0; other = b[++next]) {
      merged.push(other);
    }
    merged.push(item);
  });
  return merged.concat(b.slice(next));
}
