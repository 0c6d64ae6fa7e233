import type { Log } from "../../observe/log.ts";

/**
 * A secret that is read again and again because it is rotated. If it cannot be read or is unusable, the last good value
 * stays in use, and the problem is logged once.
 */
export class Renewed<T> {
  #good: { readonly value: T } | undefined;
  #problem = "";

  readonly #log: Log;

  constructor(log: Log) {
    this.#log = log;
  }

  /** @throws what `read` throws while there is no good value, and the reason of `signal` */
  async next(read: () => Promise<T>, signal: AbortSignal): Promise<T> {
    try {
      const value = await read();
      this.#good = { value };
      this.#problem = "";
      return value;
    } catch (error) {
      signal.throwIfAborted();
      if (this.#good === undefined) throw error;
      const problem = error instanceof Error ? error.message : String(error);
      if (problem !== this.#problem) this.#log.error(`${problem}; the previous one stays in use`);
      this.#problem = problem;
      return this.#good.value;
    }
  }
}
