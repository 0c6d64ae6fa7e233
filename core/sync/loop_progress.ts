import type { SyncObserver } from "./sync_loop.ts";

/**
 * Tells whether the sync loop still turns. An idle loop does, and so does one whose syncs fail: it tries again. A loop is
 * stuck if a sync does not end, or if no sync takes what was queued.
 */
export class LoopProgress implements Pick<SyncObserver, "queued" | "started" | "ended"> {
  readonly #monotonic: () => number;
  /** Time when the oldest change was queued that no sync has taken. */
  #queuedSince = Infinity;
  /** Time when the sync began that has not ended. */
  #syncingSince = Infinity;
  /** Resolve at the end of the sync that takes what is queued, and of the one in flight. */
  #next: PromiseWithResolvers<void> | undefined;
  #current: PromiseWithResolvers<void> | undefined;

  /** @param monotonic the clock, in milliseconds; the seam for tests. */
  constructor(monotonic: () => number = () => performance.now()) {
    this.#monotonic = monotonic;
  }

  queued(): void {
    this.#queuedSince = Math.min(this.#queuedSince, this.#monotonic());
  }

  started(): void {
    this.#queuedSince = Infinity;
    this.#syncingSince = this.#monotonic();
    this.#current = this.#next;
    this.#next = undefined;
  }

  ended(): void {
    this.#syncingSince = Infinity;
    this.#current?.resolve();
    this.#current = undefined;
  }

  /** True when the loop has not taken a step that was due for longer than `ms`. */
  isStuck(ms: number): boolean {
    return this.#monotonic() - Math.min(this.#queuedSince, this.#syncingSince) > ms;
  }

  /** Resolves when a sync has tried everything that was queued so far. */
  async caughtUp(): Promise<void> {
    if (this.#queuedSince !== Infinity) {
      this.#next ??= Promise.withResolvers();
      await this.#next.promise;
    } else if (this.#syncingSince !== Infinity) {
      this.#current ??= Promise.withResolvers();
      await this.#current.promise;
    }
  }
}
