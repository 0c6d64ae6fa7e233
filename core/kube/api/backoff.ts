/** Exponential backoff with full jitter, so that nodes that lost their server do not reconnect in step. */
export class Backoff {
  #failures = 0;

  /** Maximum delay after the first failure. */
  readonly #firstMs: number;
  /** Maximum delay after many failures. */
  readonly #maxMs: number;
  readonly #random: () => number;

  constructor(firstMs: number, maxMs: number, random: () => number = Math.random) {
    this.#firstMs = firstMs;
    this.#maxMs = maxMs;
    this.#random = random;
  }

  /** Counts a failure. @returns the delay before the next attempt, in milliseconds. */
  next(): number {
    const limit = Math.min(this.#maxMs, this.#firstMs * 2 ** this.#failures++);
    return this.#random() * limit;
  }

  /** Starts over with the first delay. Only what has worked for a while justifies it; a first success does not. */
  reset(): void {
    this.#failures = 0;
  }
}
