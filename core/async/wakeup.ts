/** One waiter that any number of calls can wake; a call while nobody waits is remembered once. */
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

/** setTimeout takes 31 bits of milliseconds; who waits longer is woken early and looks again. */
function timerDelay(ms: number): number {
  return Math.min(Math.max(0, ms), 2 ** 31 - 1);
}
