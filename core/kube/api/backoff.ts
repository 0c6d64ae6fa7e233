/** Exponential backoff with full jitter: a fleet that lost its server does not come back in step. */
export class Backoff {
  #failures = 0;

  constructor(
    /** Milliseconds: the most after the first failure, and after many. */
    private readonly first: number,
    private readonly longest: number,
    private readonly random: () => number = Math.random,
  ) {}

  /** How long to wait after one more failure, in milliseconds. */
  next(): number {
    const most = Math.min(this.longest, this.first * 2 ** this.#failures++);
    return this.random() * most;
  }

  reset(): void {
    this.#failures = 0;
  }
}
