/**
 * Splits a stream of bytes into lines and decodes each one when it is complete. A line of a watch is one event.
 */
export class LineSplitter {
  /** Bytes of the incomplete line; the first `#length` are valid. */
  #rest = new Uint8Array(0);
  #length = 0;
  readonly #decoder = new TextDecoder();

  readonly #onLine: (line: string) => void;
  /** An object in etcd has at most 1.5 MiB. */
  readonly #maxBytes: number;

  constructor(onLine: (line: string) => void, maxBytes: number = 32 * 1024 * 1024) {
    this.#onLine = onLine;
    this.#maxBytes = maxBytes;
  }

  /** @throws RangeError when a line is longer than allowed. */
  push(bytes: Uint8Array): void {
    let start = 0;
    for (let end = bytes.indexOf(NEWLINE); end !== -1; end = bytes.indexOf(NEWLINE, start)) {
      const tail = bytes.subarray(start, end);
      start = end + 1;
      if (this.#length === 0) this.#emit(tail);
      else {
        this.#keep(tail);
        const line = this.#rest.subarray(0, this.#length);
        this.#length = 0;
        this.#emit(line);
      }
    }
    if (start < bytes.length) this.#keep(bytes.subarray(start));
  }

  /** Ends the stream: what follows the last newline is a line too. */
  end(): void {
    const line = this.#rest.subarray(0, this.#length);
    this.#length = 0;
    this.#emit(line);
  }

  #emit(bytes: Uint8Array): void {
    if (bytes.length > 0) this.#onLine(this.#decoder.decode(bytes));
  }

  #keep(bytes: Uint8Array): void {
    const needed = this.#length + bytes.length;
    if (needed > this.#maxBytes) throw new RangeError(`a line of more than ${this.#maxBytes} bytes`);
    if (needed > this.#rest.length) {
      const larger = new Uint8Array(Math.max(needed, 2 * this.#rest.length));
      larger.set(this.#rest.subarray(0, this.#length));
      this.#rest = larger;
    }
    this.#rest.set(bytes, this.#length);
    this.#length = needed;
  }
}

const NEWLINE = 0x0a;
