import { O_CLOEXEC } from "../libraries/libc.ts";
import { calls } from "./calls.ts";
import { F_SETPIPE_SZ, O_NONBLOCK, SPLICE_F_MOVE, SPLICE_F_NONBLOCK } from "./constants.ts";
import { failure, sendFailure } from "./stream.ts";

const SPLICE_FLAGS = SPLICE_F_MOVE | SPLICE_F_NONBLOCK;

/** A pipe through which the kernel moves the bytes of a stream from one socket to another without copying them. */
export class Pipe implements Disposable {
  readonly #readEnd: number;
  readonly #writeEnd: number;
  #length = 0;

  /** @returns undefined without descriptors, or when this user has too many pipes. */
  static open(capacity: number): Pipe | undefined {
    const ends = new Int32Array(new ArrayBuffer(8));
    if (calls.pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0) return undefined;
    const [readEnd = -1, writeEnd = -1] = ends;
    // A smaller pipe works, too: users have limits.
    calls.fcntl(writeEnd, F_SETPIPE_SZ, capacity);
    return new Pipe(readEnd, writeEnd);
  }

  private constructor(readEnd: number, writeEnd: number) {
    this.#readEnd = readEnd;
    this.#writeEnd = writeEnd;
  }

  /** Bytes in the pipe. */
  get length(): number {
    return this.#length;
  }

  /** Fills the pipe from a socket. @returns the number of bytes, 0 at the end of the stream, WOULD_BLOCK or FAILED. */
  fill(socket: number, limit: bigint): number {
    const count = calls.splice(socket, null, this.#writeEnd, null, limit, SPLICE_FLAGS);
    if (count < 0) return failure();
    this.#length += count;
    return count;
  }

  /** Empties the pipe into a socket. @returns as `sendBytes` */
  drain(socket: number): number {
    const count = calls.splice(this.#readEnd, null, socket, null, BigInt(this.#length), SPLICE_FLAGS);
    if (count < 0) return sendFailure();
    this.#length -= count;
    return count;
  }

  [Symbol.dispose](): void {
    calls.close(this.#readEnd);
    calls.close(this.#writeEnd);
  }
}
