/** A step that did not finish within its deadline. */
export class DeadlineError extends Error {
  override readonly name: string = "DeadlineError";
}

/**
 * One supervised attempt. Everything that the source waits for is a step of an attempt: it has a deadline, ends when the
 * parent signal aborts, and its failure is an error that the caller reports and counts. A step that ignores the signal
 * (a read from a dead file system cannot be cancelled) is abandoned.
 */
export class Attempt implements Disposable {
  readonly #abort = new AbortController();
  readonly #parent: AbortSignal;
  readonly #stop: () => void;
  readonly #ended: Promise<never>;
  #timer: number | undefined;

  constructor(parent: AbortSignal) {
    this.#parent = parent;
    this.#stop = () => this.#abort.abort(parent.reason);
    if (parent.aborted) this.#stop();
    else parent.addEventListener("abort", this.#stop, { once: true });
    this.#ended = new Promise((_, reject) => {
      const { signal } = this;
      if (signal.aborted) reject(signal.reason);
      else signal.addEventListener("abort", () => reject(signal.reason), { once: true });
    });
    this.#ended.catch(() => {});
  }

  /** Aborts when the attempt ends, whatever the cause. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /**
   * Sets the deadline of the current step, and replaces that of the step before.
   * @param problem makes the error that the attempt fails with
   */
  within(ms: number, problem: () => Error): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#abort.abort(problem()), ms);
  }

  /** Removes the deadline of the current step. */
  noDeadline(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** Waits for a step. @throws what the step throws, or the reason why the attempt ended */
  wait<T>(step: Promise<T>): Promise<T> {
    // An abandoned step may fail later.
    step.catch(() => {});
    return Promise.race([this.#ended, step]);
  }

  [Symbol.dispose](): void {
    this.noDeadline();
    this.#parent.removeEventListener("abort", this.#stop);
    this.#abort.abort(new DeadlineError("the attempt is over"));
  }
}

/**
 * Runs one step with a deadline.
 * @param what names the object for the message: "token /var/run/…/token"
 * @throws what the step throws, DeadlineError, or the reason of `parent`
 */
export async function supervised<T>(
  what: string,
  ms: number,
  parent: AbortSignal,
  step: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  using attempt = new Attempt(parent);
  attempt.within(ms, () => new DeadlineError(`${what}: no result within ${ms / 1000} s`));
  return await attempt.wait(step(attempt.signal));
}
