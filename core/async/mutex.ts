/**
 * Serialises async work in the order of the calls, for example on a socket that carries one exchange at a
 * time.
 */
export class Mutex {
  #last: Promise<unknown> = Promise.resolve();

  /** Runs `work` once all earlier work has ended. */
  run<Result>(work: () => Promise<Result>): Promise<Result> {
    const result = this.#last.then(work, work);
    // A failure is reported to the caller of that work alone.
    this.#last = result.catch(() => {});
    return result;
  }
}
