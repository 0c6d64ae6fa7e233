export type Warn = (message: string, values: Readonly<Record<string, string | number>>) => void;

/** Time until the same warning may be repeated. */
const INTERVAL_MS = 10_000;
/** Different warnings that are remembered; their texts contain addresses. */
const MAX_MESSAGES = 1000;

/** Drops repeated warnings, because clients can cause any number of them. */
export class RateLimitedWarnings {
  readonly #warn: Warn;
  readonly #last = new Map<string, number>();

  constructor(warn: Warn) {
    this.#warn = warn;
  }

  warn(message: string, values: Readonly<Record<string, string | number>>, now: number): void {
    const last = this.#last.get(message);
    if (last !== undefined && now - last < INTERVAL_MS) return;
    if (this.#last.size >= MAX_MESSAGES) this.#last.clear();
    this.#last.set(message, now);
    this.#warn(message, values);
  }
}
