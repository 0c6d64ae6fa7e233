/** Time from the end of a slice to the next one. */
const INTERVAL_MS = 1000;
/** Duration of a slice. Verification takes at most this part of the interval. */
const SLICE_MS = 5;

/**
 * Compares the maps with what was programmed, in small slices, because the kernel sends no notifications about changes of
 * maps. Another process with the same maps, or a person with bpftool, would otherwise stay in force until the next
 * reconcile.
 */
export class MapVerification implements Disposable {
  readonly #begin: () => Generator<string | undefined>;
  readonly #report: (what: string) => void;
  #round: Generator<string | undefined>;
  #timer: number | undefined;

  /**
   * @param begin starts a round through all maps. Each step describes what is different, or returns undefined.
   * @param report receives the first difference of a round. A reconcile is expected to repair all of them.
   */
  constructor(begin: () => Generator<string | undefined>, report: (what: string) => void) {
    this.#begin = begin;
    this.#report = report;
    this.#round = begin();
    this.#wait();
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }

  #wait(): void {
    this.#timer = setTimeout(() => this.#slice(), INTERVAL_MS);
    // Does not keep the process alive.
    Deno.unrefTimer(this.#timer);
  }

  #slice(): void {
    const end = performance.now() + SLICE_MS;
    try {
      while (performance.now() < end) {
        const { done, value } = this.#round.next();
        if (value !== undefined) return this.#differs(`${value} in the maps`);
        if (done !== true) continue;
        this.#round = this.#begin();
        break;
      }
    } catch (error) {
      return this.#differs(`the maps could not be read: ${error instanceof Error ? error.message : error}`);
    }
    this.#wait();
  }

  #differs(what: string): void {
    this.#round = this.#begin();
    this.#wait();
    this.#report(what);
  }
}
