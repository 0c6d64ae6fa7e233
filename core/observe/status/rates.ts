/** Readings that are remembered per counter. */
const MAX_READINGS = 60;

/**
 * Rates of counters, computed by the reader from its own readings, so that the process that counts does nothing when nobody
 * reads.
 */
export class Rates {
  #last = new Map<string, number>();
  #rates = new Map<string, readonly number[]>();
  #readAtMs: number | undefined;

  /**
   * Takes one reading of all counters. A counter that is not in it is forgotten.
   * @param nowMs milliseconds of a monotonic clock.
   */
  read(counters: Iterable<readonly [name: string, value: number]>, nowMs: number): void {
    const last = new Map(counters);
    const seconds = this.#readAtMs === undefined ? 0 : (nowMs - this.#readAtMs) / 1000;
    const rates = new Map<string, readonly number[]>();
    for (const [name, value] of last) {
      const before = this.#last.get(name);
      const known = this.#rates.get(name) ?? [];
      // A counter that is smaller than before has started again at 0.
      const grown = before === undefined ? undefined : value < before ? value : value - before;
      const rate = grown === undefined || seconds <= 0 ? [] : [grown / seconds];
      rates.set(name, [...known, ...rate].slice(-MAX_READINGS));
    }
    this.#last = last;
    this.#rates = rates;
    this.#readAtMs = nowMs;
  }

  /** The rates per second between readings, the oldest first. Empty before the second reading. */
  of(name: string): readonly number[] {
    return this.#rates.get(name) ?? [];
  }

  /** The rate between the last two readings; undefined before the second reading. */
  current(name: string): number | undefined {
    return this.of(name).at(-1);
  }
}
