export type Values = Readonly<Record<string, string | number>>;
export type Warn = (message: string, values: Values) => void;

/** Time until the same warning may be repeated. */
const INTERVAL_MS = 10_000;
/** Different warnings in this time. Further ones are dropped. */
const MAX_WARNINGS = 100;

/** Drops repeated warnings, because clients and endpoints can cause any number of them. */
export class RateLimitedWarnings {
  readonly #warn: Warn;
  /** Time of each warning of the last interval, the oldest first. */
  readonly #last = new Map<string, number>();

  constructor(warn: Warn) {
    this.#warn = warn;
  }

  /**
   * @param subject what a message is about, if it may be about several things at a time.
   * @param now milliseconds of any clock.
   */
  warn(message: string, values: Values, now: number, subject = ""): void {
    for (const [key, time] of this.#last) {
      if (now - time < INTERVAL_MS) break;
      this.#last.delete(key);
    }
    const key = `${message} ${subject}`;
    if (this.#last.has(key) || this.#last.size >= MAX_WARNINGS) return;
    this.#last.set(key, now);
    this.#warn(message, values);
  }
}
