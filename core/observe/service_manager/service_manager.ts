import { monotonicMicroseconds } from "../../../ffi/system/process.ts";
import type { LoopProgress } from "../../sync/loop_progress.ts";
import type { Notifier } from "./notifier.ts";

export interface ServiceManagerOptions {
  /** Undefined if no service manager expects messages: then nothing happens. */
  readonly notifier: Notifier | undefined;
  readonly progress: LoopProgress;
  /** Time after which a sync that has not ended, or not begun, counts as hung. */
  readonly stuckAfterMs: number;
  /** Describes what the process does, in one line. */
  readonly describe: () => string;
  /** Maximum time until a reload is reported as complete. The seam for tests. */
  readonly reloadMs?: number;
}

/** The description is sent at most this often, because the service manager tells its clients of each change. */
const STATUS_PERIOD_MS = 1000;
/** Time until a reload counts as complete, although the source has not answered. Reading goes on. */
const RELOAD_MS = 30_000;

/**
 * Tells the service manager what the process does: READY=1 once the first sync is in force, RELOADING=1 while
 * everything is read again, and STATUS=… with what has changed. Feeds the watchdog as long as the event loop and the
 * sync loop turn. A lost source and syncs that fail do not count, because a restart changes neither.
 */
export class ServiceManager implements Disposable {
  readonly #options: ServiceManagerOptions;
  #isReady = false;
  #reloads = 0;
  #status: string | undefined;
  #statusTimer: number | undefined;
  #watchdogTimer: number | undefined;

  constructor(options: ServiceManagerOptions) {
    this.#options = options;
    const { notifier } = options;
    if (notifier?.watchdogMs !== undefined) {
      this.#watchdogTimer = setInterval(() => this.#feed(), notifier.watchdogMs / 2);
      this.#feed();
    }
    this.changed();
  }

  /** The first sync is in force. */
  ready(): void {
    this.#isReady = true;
    this.#send("READY=1");
  }

  /** The text of `describe` may have changed. */
  changed(): void {
    if (this.#options.notifier === undefined || this.#statusTimer !== undefined) return;
    this.#send();
    this.#statusTimer = setTimeout(() => {
      this.#statusTimer = undefined;
      if (this.#options.describe() !== this.#status) this.changed();
    }, STATUS_PERIOD_MS);
    Deno.unrefTimer(this.#statusTimer);
  }

  /**
   * Reports a reload that has begun, and its end: everything was read, and a sync has tried it. During the start there
   * is nothing to report, because READY=1 follows anyway.
   * @param read resolves when everything was read.
   */
  async reloading(read: Promise<void>): Promise<void> {
    const { notifier, progress, reloadMs = RELOAD_MS } = this.#options;
    if (notifier === undefined || !this.#isReady) return;
    const reload = ++this.#reloads;
    notifier.send("RELOADING=1", `MONOTONIC_USEC=${monotonicMicroseconds()}`);
    const limit = Promise.withResolvers<void>();
    const timer = setTimeout(limit.resolve, reloadMs);
    await Promise.race([read.then(() => progress.caughtUp()), limit.promise]);
    clearTimeout(timer);
    // A second reload that has begun meanwhile ends for both.
    if (reload === this.#reloads) this.#send("READY=1");
  }

  /** Sends the assignments together with the description, if that has changed. */
  #send(...assignments: string[]): void {
    const { notifier, describe } = this.#options;
    if (notifier === undefined) return;
    const status = describe();
    if (status !== this.#status) assignments.push(`STATUS=${status}`);
    this.#status = status;
    if (assignments.length > 0) notifier.send(...assignments);
  }

  #feed(): void {
    const { notifier, progress, stuckAfterMs } = this.#options;
    if (!progress.isStuck(stuckAfterMs)) notifier?.feedWatchdog();
  }

  [Symbol.dispose](): void {
    clearInterval(this.#watchdogTimer);
    clearTimeout(this.#statusTimer);
  }
}
