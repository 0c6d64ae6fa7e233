/** Lets in one at a time, in the order they come: for a socket that carries one exchange at a time. */
export class Turns {
  #last: Promise<unknown> = Promise.resolve();

  take<Result>(work: () => Promise<Result>): Promise<Result> {
    const mine = this.#last.then(work, work);
    // Who fails tells its own caller only.
    this.#last = mine.catch(() => {});
    return mine;
  }
}
