import type { Timer } from "./event_loop.ts";

/** Time at the end of a drain in which no connections are accepted, so that short ones can finish. */
const LAST_MS = 2000;

export interface DrainOptions {
  readonly now: number;
  readonly limitMs: number;
  /** Another process is about to take the listeners. */
  readonly isAwaited: boolean;
  readonly stopAccepting: () => void;
  /** The time is over. */
  readonly end: () => void;
}

/**
 * The end of a relay: it accepts connections until the next process has taken its listeners, because clients would
 * wait otherwise, or until its time is nearly over.
 */
export class Drain implements Timer {
  readonly #options: DrainOptions;
  readonly #end: number;
  #isAccepting = true;
  #isAwaited: boolean;

  constructor(options: DrainOptions) {
    this.#options = options;
    this.#isAwaited = options.isAwaited;
    this.#end = options.now + options.limitMs;
  }

  /** True if the process can end when no connection is open. */
  get endsWithoutConnections(): boolean {
    return !this.#isAwaited;
  }

  get nextDeadline(): number {
    const lastMs = Math.min(LAST_MS, this.#options.limitMs / 2);
    return this.#isAccepting ? this.#end - lastMs : this.#end;
  }

  /** Accepting has ended before the time. */
  taken(): void {
    this.#isAccepting = false;
    this.#isAwaited = false;
  }

  expire(now: number): void {
    if (this.#isAccepting) {
      this.#isAccepting = false;
      this.#options.stopAccepting();
    }
    if (now >= this.#end) this.#options.end();
  }
}
