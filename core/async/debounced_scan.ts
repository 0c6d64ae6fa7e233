/** A sweep takes at most this part of the time. */
const SHARE = 1 / 10;

/**
 * Work that goes through everything there is, and so is done a while after it was asked for, once for all that asked
 * until then, and the more seldom the longer it takes.
 */
export class Sweep implements Disposable {
  readonly #work: (settled: number) => Promise<void>;
  readonly #settleMs: number;
  #state: "idle" | "waiting" | "sweeping" | "over" = "idle";
  #timer: number | undefined;
  /** The largest mark there was. */
  #asked = 0;
  /** Somebody asked while a sweep was under way: it may have passed what that was about. */
  #isToRepeat = false;
  /** How long the last one took. */
  #tookMs = 0;

  /**
   * @param work does not throw.
   * @param settleMs how long it waits at least.
   */
  constructor(work: (settled: number) => Promise<void>, settleMs: number) {
    this.#work = work;
    this.#settleMs = settleMs;
  }

  /**
   * Has it done soon.
   * @param mark grows with what has to have settled: work is told the largest that was asked for `settleMs` ago, and
   * is done again for larger ones.
   */
  ask(mark = 0): void {
    this.#asked = Math.max(this.#asked, mark);
    if (this.#state === "sweeping") this.#isToRepeat = true;
    if (this.#state === "idle") this.#wait();
  }

  #wait(): void {
    const settled = this.#asked;
    this.#state = "waiting";
    this.#timer = setTimeout(() => this.#sweep(settled), Math.max(this.#settleMs, this.#tookMs / SHARE));
    // The process need not stay for this: the next one begins with it.
    Deno.unrefTimer(this.#timer);
  }

  async #sweep(settled: number): Promise<void> {
    this.#state = "sweeping";
    this.#isToRepeat = false;
    const started = performance.now();
    await this.#work(settled);
    this.#tookMs = performance.now() - started;
    if (this.#isOver()) return;
    this.#state = "idle";
    if (this.#isToRepeat || this.#asked > settled) this.#wait();
  }

  /** It may have become so while others were waited for. */
  #isOver(): boolean {
    return this.#state === "over";
  }

  [Symbol.dispose](): void {
    this.#state = "over";
    clearTimeout(this.#timer);
  }
}
