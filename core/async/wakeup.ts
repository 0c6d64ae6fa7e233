/** Wakes one waiter. A wake-up without a waiter is remembered once, however often it is called. */
export class Wakeup {
  #pending = false;
  #resolve: (() => void) | undefined;

  wake(): void {
    this.#pending = true;
    this.#resolve?.();
  }

  /** Waits for `wake` or for `deadline` (milliseconds of performance.now(), Infinity for none). */
  async waitUntil(deadline: number): Promise<void> {
    if (!this.#pending) {
      let timer: number | undefined;
      await new Promise<void>((resolve) => {
        this.#resolve = resolve;
        if (deadline !== Infinity) timer = setTimeout(resolve, timerDelay(deadline - performance.now()));
      });
      clearTimeout(timer);
      this.#resolve = undefined;
    }
    this.#pending = false;
  }
}

/** Waits `ms` milliseconds, or until the signal aborts. */
export async function delay(ms: number, signal: AbortSignal): Promise<void> {
  if (ms <= 0 || signal.aborted) return;
  await new Promise<void>((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, timerDelay(ms));
    signal.addEventListener("abort", end);
  });
}

/** Limits a delay to the 31 bits of setTimeout. A longer wait ends early, and the caller waits again. */
function timerDelay(ms: number): number {
  return Math.min(Math.max(0, ms), 2 ** 31 - 1);
}
