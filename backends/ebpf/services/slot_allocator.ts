import type { SlotRange } from "../maps/layout.ts";

/**
 * Time that slots stay unchanged after the last service stopped naming them, because a program that read the
 * service before may still read them. Programs take microseconds; a preempted one takes longer.
 */
const GRACE_MS = 1000;

/**
 * Allocates blocks of consecutive slots. Takes the smallest free block that is large enough, and joins
 * neighbours when they are freed. In memory only: the services tell which slots are in use.
 */
export class SlotAllocator {
  /**
   * Free blocks: lengths by first slot, first slots by the slot after the block, and first slots by length.
   */
  readonly #counts = new Map<number, number>();
  readonly #firsts = new Map<number, number>();
  readonly #byCount = new Map<number, Set<number>>();
  /** Blocks that are not used any more, with the time when they become free, in that order. */
  readonly #retired: { readonly block: SlotRange; readonly freeAtMs: number }[] = [];
  #free = 0;

  /**
   * @param used blocks in use.
   * @param retired blocks retired now; they may overlap each other and those in use.
   */
  constructor(
    readonly capacity: number,
    used: readonly SlotRange[] = [],
    retired: readonly SlotRange[] = [],
    nowMs = 0,
  ) {
    const free = gapsBetween([...used, ...retired], capacity);
    for (const { first, count } of free) this.#add(first, count);
    // Slots that are neither in use nor free are retired.
    for (const block of gapsBetween([...used, ...free], capacity)) this.retire(block, nowMs);
  }

  /** Number of free slots, in any block. */
  get free(): number {
    return this.#free;
  }

  /**
   * Takes a block. Returns undefined if no free one is large enough.
   * @param nowMs time of a clock that never goes back.
   */
  take(count: number, nowMs: number): SlotRange | undefined {
    if (count === 0) return { first: 0, count: 0 };
    this.#freeRetired(nowMs);
    const length = this.#smallest(count);
    const [first] = this.#byCount.get(length) ?? [];
    if (first === undefined) return undefined;
    this.#remove(first, length);
    this.#add(first + count, length - count);
    return { first, count };
  }

  /** Gives back a block that no service has named. */
  giveBack({ first, count }: SlotRange): void {
    if (count > 0) this.#join(first, count);
  }

  /** Gives back a block that no service names any more. */
  retire(block: SlotRange, nowMs: number): void {
    if (block.count > 0) this.#retired.push({ block, freeAtMs: nowMs + GRACE_MS });
  }

  #freeRetired(nowMs: number): void {
    let freed = 0;
    for (const { block, freeAtMs } of this.#retired) {
      if (freeAtMs > nowMs) break;
      this.giveBack(block);
      freed++;
    }
    this.#retired.splice(0, freed);
  }

  /** Length of the smallest free block with at least `count` slots; Infinity if there is none. */
  #smallest(count: number): number {
    if (this.#byCount.has(count)) return count;
    let smallest = Infinity;
    for (const length of this.#byCount.keys()) {
      if (length >= count && length < smallest) smallest = length;
    }
    return smallest;
  }

  #join(first: number, count: number): void {
    const before = this.#firsts.get(first);
    const after = this.#counts.get(first + count);
    if (after !== undefined) this.#remove(first + count, after);
    if (before === undefined) return this.#add(first, count + (after ?? 0));
    this.#remove(before, first - before);
    this.#add(before, first - before + count + (after ?? 0));
  }

  #add(first: number, count: number): void {
    if (count <= 0) return;
    this.#free += count;
    this.#counts.set(first, count);
    this.#firsts.set(first + count, first);
    const sameLength = this.#byCount.get(count);
    if (sameLength === undefined) this.#byCount.set(count, new Set([first]));
    else sameLength.add(first);
  }

  #remove(first: number, count: number): void {
    this.#free -= count;
    this.#counts.delete(first);
    this.#firsts.delete(first + count);
    const sameLength = this.#byCount.get(count);
    sameLength?.delete(first);
    if (sameLength?.size === 0) this.#byCount.delete(count);
  }
}

/**
 * The slots below `capacity` that are in none of the blocks, in order. Parts of blocks beyond it are ignored.
 */
function gapsBetween(blocks: readonly SlotRange[], capacity: number): readonly SlotRange[] {
  const gaps: SlotRange[] = [];
  let next = 0;
  for (const { first, count } of blocks.toSorted((a, b) => a.first - b.first)) {
    const end = Math.min(first, capacity);
    if (end > next) gaps.push({ first: next, count: end - next });
    next = Math.max(next, first + count);
  }
  if (next < capacity) gaps.push({ first: next, count: capacity - next });
  return gaps;
}
