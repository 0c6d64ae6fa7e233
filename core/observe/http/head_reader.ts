import { RequestError } from "./request.ts";

/** Largest head of a request. Probes and scrapers send a few hundred bytes, browsers some thousand. */
export const MAX_HEAD_BYTES = 32 * 1024;
const FIRST_BUFFER_BYTES = 1024;

/** Reads the heads of requests and small bodies from a connection, and keeps what follows them. */
export class HeadReader {
  readonly #read: (buffer: Uint8Array) => Promise<number | null>;
  #buffer = new Uint8Array(FIRST_BUFFER_BYTES);
  #length = 0;

  constructor(read: (buffer: Uint8Array) => Promise<number | null>) {
    this.#read = read;
  }

  /** True when bytes of the next request have arrived. */
  get hasMore(): boolean {
    return this.#length > 0;
  }

  /**
   * Waits for more bytes.
   * @returns false at the end of the stream.
   */
  async more(): Promise<boolean> {
    if (this.#length === this.#buffer.length) {
      const larger = new Uint8Array(Math.min(2 * this.#length, MAX_HEAD_BYTES));
      larger.set(this.#buffer);
      this.#buffer = larger;
    }
    const count = await this.#read(this.#buffer.subarray(this.#length));
    this.#length += count ?? 0;
    return count !== null;
  }

  /**
   * Reads up to the empty line that ends a head.
   * @returns the head in Latin-1; undefined when the stream ends before.
   * @throws RequestError 431 when the head is too large.
   */
  async head(): Promise<string | undefined> {
    let searched = 0;
    for (;;) {
      const end = this.#endOfHead(searched);
      if (end !== undefined) {
        const head = latin1(this.#buffer.subarray(0, end.head));
        this.#drop(end.next);
        return head;
      }
      // The line feed before an empty line may have arrived already.
      searched = Math.max(0, this.#length - 2);
      if (this.#length >= MAX_HEAD_BYTES) throw new HeadTooLarge(latin1(this.#buffer));
      if (!await this.more()) return undefined;
    }
  }

  /**
   * Reads the body of a request, which must be small enough for the buffer of a head.
   * @returns the body in Latin-1; undefined when the stream ends before.
   */
  async body(bytes: number): Promise<string | undefined> {
    while (this.#length < bytes) if (!await this.more()) return undefined;
    const body = latin1(this.#buffer.subarray(0, bytes));
    this.#drop(bytes);
    return body;
  }

  /**
   * Skips the body of a request.
   * @returns false when the stream ends before.
   */
  async skip(bytes: number): Promise<boolean> {
    for (let left = bytes; left > 0;) {
      const dropped = Math.min(left, this.#length);
      this.#drop(dropped);
      left -= dropped;
      if (left > 0 && !await this.more()) return false;
    }
    return true;
  }

  #endOfHead(from: number): { head: number; next: number } | undefined {
    const bytes = this.#buffer.subarray(0, this.#length);
    for (let at = bytes.indexOf(LF, from); at >= 0; at = bytes.indexOf(LF, at + 1)) {
      const next = bytes[at + 1] === CR ? at + 2 : at + 1;
      if (bytes[next] === LF) return { head: bytes[at - 1] === CR ? at - 1 : at, next: next + 1 };
    }
    return undefined;
  }

  #drop(bytes: number): void {
    this.#buffer.copyWithin(0, bytes, this.#length);
    this.#length -= bytes;
  }
}

/** A head that is not complete after the most bytes that are read. */
export class HeadTooLarge extends RequestError {
  /** @param start its complete and incomplete lines, which may be invalid for another reason. */
  constructor(readonly start: string) {
    super(431);
  }
}

const CR = 13;
const LF = 10;

function latin1(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += 4096) {
    text += String.fromCharCode(...bytes.subarray(at, at + 4096));
  }
  return text;
}
