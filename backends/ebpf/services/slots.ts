import type { SlotRange } from "../maps/layout.ts";

/**
 * How long slots that no service names any more stay as they are: a program that read the service before it changed
 * may still read them. Programs take microseconds; one that is preempted in between takes longer.
 */
const GRACE_MS = 1000;

export const noSlots: SlotRange = { first: 0, count: 0 };

/**
 * Which of a number of slots are free, as runs: neighbours are joined when they are freed, and the smallest run that
 * is large enough is taken. In memory only: what is in use is known from the services that name it.
 */
export class Slots {
  /** Free runs: their lengths by their first slot, their first slots by the slot after them, and by their length. */
  readonly #counts = new Map<number, number>();
  readonly #firsts = new Map<number, number>();
  readonly #byCount = new Map<number, Set<number>>();
  /** No longer used, in the order of `from`, when they are free. */
  readonly #retired: { readonly run: SlotRange; readonly from: number }[] = [];
  #free = 0;

  /**
   * @param used runs that are taken.
   * @param retired runs that were given up now; they may overlap each other and those in use.
   */
  constructor(
    readonly capacity: number,
    used: readonly SlotRange[] = [],
    retired: readonly SlotRange[] = [],
    nowMs = 0,
  ) {
    const free = gapsBetween([...used, ...retired], capacity);
    for (const { first, count } of free) this.#add(first, count);
    // What is neither in use nor free is what was given up.
    for (const run of gapsBetween([...used, ...free], capacity)) this.retire(run, nowMs);
  }

  /** Slots that could be taken now, if in one run. */
  get free(): number {
    return this.#free;
  }

  /**
   * Takes a run. Undefined when none is long enough.
   * @param nowMs on any clock that does not go back.
   */
  take(count: number, nowMs: number): SlotRange | undefined {
    if (count === 0) return noSlots;
    this.#release(nowMs);
    const length = this.#smallest(count);
    const [first] = this.#byCount.get(length) ?? [];
    if (first === undefined) return undefined;
    this.#remove(first, length);
    this.#add(first + count, length - count);
    return { first, count };
  }

  /** Gives back a run that was never named by a service. */
  giveBack({ first, count }: SlotRange): void {
    if (count > 0) this.#join(first, count);
  }

  /** Gives back a run that no service names from now on. */
  retire(run: SlotRange, nowMs: number): void {
    if (run.count > 0) this.#retired.push({ run, from: nowMs + GRACE_MS });
  }

  #release(nowMs: number): void {
    let due = 0;
    for (const { run, from } of this.#retired) {
      if (from > nowMs) break;
      this.giveBack(run);
      due++;
    }
    this.#retired.splice(0, due);
  }

  /** Length of the shortest run of at least `count`; of no run when there is none. */
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
    const same = this.#byCount.get(count);
    if (same === undefined) this.#byCount.set(count, new Set([first]));
    else same.add(first);
  }

  #remove(first: number, count: number): void {
    this.#free -= count;
    this.#counts.delete(first);
    this.#firsts.delete(first + count);
    const same = this.#byCount.get(count);
    same?.delete(first);
    if (same?.size === 0) this.#byCount.delete(count);
  }
}

/** What the runs leave of the slots below `capacity`, in order. What a run claims beyond that is nonsense. */
function gapsBetween(runs: readonly SlotRange[], capacity: number): readonly SlotRange[] {
  const gaps: SlotRange[] = [];
  let next = 0;
  for (const { first, count } of runs.toSorted((a, b) => a.first - b.first)) {
    const end = Math.min(first, capacity);
    if (end > next) gaps.push({ first: next, count: end - next });
    next = Math.max(next, first + count);
  }
  if (next < capacity) gaps.push({ first: next, count: capacity - next });
  return gaps;
}
