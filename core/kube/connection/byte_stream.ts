/** A connection: bytes in both directions. */
export interface ByteStream {
  /** The next bytes; null at the end. */
  read(): Promise<Uint8Array<ArrayBuffer> | null>;
  /** Writes all bytes. */
  write(bytes: Uint8Array<ArrayBuffer>): Promise<void>;
  /** Ends both directions. Pending and later calls fail. */
  close(): void;
}

/** A connection of the operating system. */
export class ConnectionStream implements ByteStream {
  readonly #connection: Deno.Conn;
  #isOpen = true;

  constructor(connection: Deno.Conn) {
    this.#connection = connection;
  }

  async read(): Promise<Uint8Array<ArrayBuffer> | null> {
    const buffer = new Uint8Array(READ_SIZE);
    const count = await this.#connection.read(buffer);
    return count === null ? null : buffer.subarray(0, count);
  }

  async write(bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    for (let written = 0; written < bytes.length;) {
      written += await this.#connection.write(bytes.subarray(written));
    }
  }

  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    try {
      this.#connection.close();
    } catch {
      // The peer has closed it.
    }
  }
}

/** Reads a stream in portions that its protocol asks for. */
export class BufferedReader {
  #buffer = new Uint8Array(0);

  readonly #stream: ByteStream;

  constructor(stream: ByteStream) {
    this.#stream = stream;
  }

  /** The next bytes, at most `max`; null at the end. */
  async some(max: number): Promise<Uint8Array<ArrayBuffer> | null> {
    while (this.#buffer.length === 0) if (!await this.#fill()) return null;
    return this.#take(Math.min(max, this.#buffer.length));
  }

  /** Exactly `count` bytes. @throws Error when the stream ends before */
  async exactly(count: number): Promise<Uint8Array<ArrayBuffer>> {
    while (this.#buffer.length < count) if (!await this.#fill()) throw new Error(CLOSED);
    return this.#take(count);
  }

  /** A line of ASCII text without its line end. @throws Error when the stream ends before, or the line is too long */
  async line(): Promise<string> {
    for (;;) {
      const end = this.#buffer.indexOf(NEWLINE);
      if (end >= 0) return new TextDecoder().decode(this.#take(end + 1)).replace(/\r?\n$/, "");
      if (this.#buffer.length > MAX_LINE_BYTES) {
        throw new Error(`a line of more than ${MAX_LINE_BYTES} bytes`);
      }
      if (!await this.#fill()) throw new Error(CLOSED);
    }
  }

  #take(count: number): Uint8Array<ArrayBuffer> {
    const bytes = this.#buffer.subarray(0, count);
    this.#buffer = this.#buffer.subarray(count);
    return bytes;
  }

  async #fill(): Promise<boolean> {
    const bytes = await this.#stream.read();
    if (bytes === null) return false;
    if (this.#buffer.length === 0) this.#buffer = bytes;
    else {
      const both = new Uint8Array(this.#buffer.length + bytes.length);
      both.set(this.#buffer);
      both.set(bytes, this.#buffer.length);
      this.#buffer = both;
    }
    return true;
  }
}

const READ_SIZE = 16_384;
const MAX_LINE_BYTES = 65_536;
const NEWLINE = 0x0a;
const CLOSED = "the server closed the connection";
