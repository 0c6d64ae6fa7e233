export const NEWLINE = 10;

/** Kept when the buffer is empty. */
const MIN_CAPACITY = 16 * 1024;

/** Longest UTF-8 encoding of a UTF-16 code unit. */
const MAX_BYTES_PER_UNIT = 3;

const encoder = new TextEncoder();

/** A queue of encoded lines in one block of memory. */
export class LineBuffer {
  readonly #maxBytes: number;
  #bytes = new Uint8Array(0);
  #start = 0;
  #end = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Bytes that wait. */
  get length(): number {
    return this.#end - this.#start;
  }

  /** Adds a line with its newline. @returns its bytes, or 0 when it does not fit. */
  add(line: string): number {
    this.#reserve(line.length * MAX_BYTES_PER_UNIT);
    const { read, written } = encoder.encodeInto(line, this.#bytes.subarray(this.#end));
    if (read < line.length) return 0;
    this.#end += written;
    return written;
  }

  /** Removes and returns a copy of the oldest lines: as many as fit in `maxBytes`, at least one. */
  take(maxBytes: number): Uint8Array<ArrayBuffer> {
    const waiting = this.#bytes.subarray(this.#start, this.#end);
    let length = waiting.length;
    if (length > maxBytes) {
      length = waiting.lastIndexOf(NEWLINE, maxBytes - 1) + 1 || waiting.indexOf(NEWLINE) + 1 || length;
    }
    const taken = waiting.slice(0, length);
    this.#start += length;
    if (this.#start === this.#end) {
      this.#start = this.#end = 0;
      // Gives the memory of a burst back.
      if (this.#bytes.length > MIN_CAPACITY) this.#bytes = new Uint8Array(MIN_CAPACITY);
    }
    return taken;
  }

  /** Makes room for so many bytes at the end, as far as the limit allows. */
  #reserve(bytes: number): void {
    if (this.#end + bytes <= this.#bytes.length) return;
    const waiting = this.#bytes.subarray(this.#start, this.#end);
    const needed = Math.min(waiting.length + bytes, this.#maxBytes);
    if (needed > this.#bytes.length) {
      const capacity = Math.min(Math.max(needed, 2 * this.#bytes.length, MIN_CAPACITY), this.#maxBytes);
      this.#bytes = new Uint8Array(capacity);
      this.#bytes.set(waiting);
    } else if (this.#start > 0) this.#bytes.copyWithin(0, this.#start, this.#end);
    this.#end = waiting.length;
    this.#start = 0;
  }
}

/** Number of lines that end in these bytes. */
export function countLines(bytes: Uint8Array): number {
  let lines = 0;
  for (let at = bytes.indexOf(NEWLINE); at >= 0; at = bytes.indexOf(NEWLINE, at + 1)) lines++;
  return lines;
}
