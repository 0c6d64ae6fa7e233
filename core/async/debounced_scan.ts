/** The part of the time that scans may use. */
const MAX_SHARE = 1 / 10;

/**
 * A debounced full scan: requests within `settleMs` share one run, and runs use at most 10 % of the time. A
 * scan that takes longer therefore runs less often.
 */
export class DebouncedScan implements Disposable {
  readonly #scan: (settled: number) => Promise<void>;
  readonly #settleMs: number;
  #state: "idle" | "waiting" | "scanning" | "disposed" = "idle";
  #timer: number | undefined;
  /** The largest mark requested. */
  #requested = 0;
  /** A request came during a scan, which may already have passed what the request is about. */
  #isToRepeat = false;
  /** Duration of the last scan. */
  #tookMs = 0;

  /**
   * @param scan must not reject.
   * @param settleMs minimum delay from a request to its scan.
   */
  constructor(scan: (settled: number) => Promise<void>, settleMs: number) {
    this.#scan = scan;
    this.#settleMs = settleMs;
  }

  /**
   * Requests a scan.
   * @param mark grows with the changes that have to settle. A scan receives the largest mark that was
   * requested `settleMs` ago, and is repeated for larger marks.
   */
  request(mark = 0): void {
    this.#requested = Math.max(this.#requested, mark);
    if (this.#state === "scanning") this.#isToRepeat = true;
    if (this.#state === "idle") this.#wait();
  }

  #wait(): void {
    const settled = this.#requested;
    this.#state = "waiting";
    this.#timer = setTimeout(() => this.#run(settled), Math.max(this.#settleMs, this.#tookMs / MAX_SHARE));
    // Does not keep the process alive, because the next process starts with a scan.
    Deno.unrefTimer(this.#timer);
  }

  async #run(settled: number): Promise<void> {
    this.#state = "scanning";
    this.#isToRepeat = false;
    const started = performance.now();
    await this.#scan(settled);
    this.#tookMs = performance.now() - started;
    if (this.#isDisposed()) return;
    this.#state = "idle";
    if (this.#isToRepeat || this.#requested > settled) this.#wait();
  }

  /** A method, because the compiler would narrow the state across the await. */
  #isDisposed(): boolean {
    return this.#state === "disposed";
  }

  [Symbol.dispose](): void {
    this.#state = "disposed";
    clearTimeout(this.#timer);
  }
}
