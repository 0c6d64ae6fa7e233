import { Pipe } from "../../../../ffi/socket/pipe.ts";

/** Empty pipes that are kept for the next transfer. */
const MAX_FREE = 32;

/** Pipes for transfers. A pipe belongs to a direction only while bytes are in it, so a few serve many connections. */
export class PipePool implements Disposable {
  readonly capacity: number;
  readonly #limit: number;
  readonly #free: Pipe[] = [];
  #open = 0;

  /**
   * @param capacity bytes per pipe; the kernel may give less.
   * @param limit pipes at a time, of two descriptors each.
   */
  constructor(capacity: number, limit: number) {
    this.capacity = capacity;
    this.#limit = limit;
  }

  /** @returns undefined if there are too many pipes; then bytes are copied. */
  take(): Pipe | undefined {
    const free = this.#free.pop();
    if (free !== undefined) return free;
    if (this.#open >= this.#limit) return undefined;
    const pipe = Pipe.open(this.capacity);
    if (pipe !== undefined) this.#open++;
    return pipe;
  }

  /** Takes a pipe back. One with bytes in it, of a failed connection, is closed. */
  giveBack(pipe: Pipe): void {
    if (pipe.length === 0 && this.#free.length < MAX_FREE) {
      this.#free.push(pipe);
      return;
    }
    pipe[Symbol.dispose]();
    this.#open--;
  }

  [Symbol.dispose](): void {
    for (const pipe of this.#free) pipe[Symbol.dispose]();
  }
}
