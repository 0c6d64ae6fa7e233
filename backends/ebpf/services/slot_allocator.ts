import type { SlotRange } from "../maps/layout.ts";

/**
 * Allocates blocks of consecutive slots. Takes the smallest free block that is large enough, and joins
 * neighbours when they are freed. In memory only: the services tell which slots are in use.
 *
 * A program may have read a service just before it stopped naming a block, and may still read the block. Such blocks are
 * retired, and free once all runs of programs that had begun are over. That is waited for only when slots run out.
 */
export class SlotAllocator {
  readonly #waitForPrograms: () => void;
  /**
   * Free blocks: lengths by first slot, first slots by the slot after the block, and first slots by length.
   */
  readonly #counts = new Map<number, number>();
  readonly #firsts = new Map<number, number>();
  readonly #byCount = new Map<number, Set<number>>();
  /** Blocks that no service names any more. */
  #retired: SlotRange[] = [];
  /** Blocks that services name until they are replaced. */
  #named: SlotRange[];
  #free = 0;

  /**
   * @param waitForPrograms returns when every run of a program that had begun is over.
   * @param used blocks in use.
   * @param named blocks that services name until `retireNamed`; they may overlap each other and those in use. No program
   * reads any other slot.
   */
  constructor(
    readonly capacity: number,
    waitForPrograms: () => void,
    used: readonly SlotRange[] = [],
    named: readonly SlotRange[] = [],
  ) {
    this.#waitForPrograms = waitForPrograms;
    const free = gapsBetween([...used, ...named], capacity);
    for (const { first, count } of free) this.#add(first, count);
    this.#named = [...gapsBetween([...used, ...free], capacity)];
  }

  /** Number of free slots, in any block. */
  get free(): number {
    return this.#free;
  }

  /** Number of slots that are in use. */
  get used(): number {
    const retired = this.#retired.reduce((sum, { count }) => sum + count, 0);
    return this.capacity - this.#free - retired;
  }

  /** Takes a block. Returns undefined if no free one is large enough. */
  take(count: number): SlotRange | undefined {
    if (count === 0) return { first: 0, count: 0 };
    const taken = this.#take(count);
    if (taken !== undefined || this.#retired.length === 0) return taken;
    this.#waitForPrograms();
    for (const block of this.#retired) this.giveBack(block);
    this.#retired = [];
    return this.#take(count);
  }

  /** Gives back a block that no service has named. */
  giveBack({ first, count }: SlotRange): void {
    if (count > 0) this.#join(first, count);
  }

  /** Gives back a block that no service names any more. */
  retire(block: SlotRange): void {
    if (block.count > 0) this.#retired.push(block);
  }

  /** Keeps a block that is not in use any more, but that a service names until `retireNamed`. */
  keepNamed(block: SlotRange): void {
    this.#named.push(block);
  }

  /** Retires the blocks that services named until now. */
  retireNamed(): void {
    for (const block of this.#named) this.retire(block);
    this.#named = [];
  }

  #take(count: number): SlotRange | undefined {
    const length = this.#smallest(count);
    const [first] = this.#byCount.get(length) ?? [];
    if (first === undefined) return undefined;
    this.#remove(first, length);
    this.#add(first + count, length - count);
    return { first, count };
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
