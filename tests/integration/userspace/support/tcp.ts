/** Sends bytes, half-closes, and returns what the other side sent until it closed. */
export async function exchange(connection: Deno.TcpConn, bytes: Uint8Array): Promise<Uint8Array> {
  const sending = (async () => {
    await writeAll(connection, bytes);
    await connection.closeWrite();
  })();
  const [received] = await Promise.all([readAll(connection), sending]);
  return received;
}

export async function writeAll(connection: Deno.Conn, bytes: Uint8Array): Promise<void> {
  for (let written = 0; written < bytes.length;) written += await connection.write(bytes.subarray(written));
}

/** Reads until the other side ends its stream. */
export async function readAll(connection: Deno.Conn): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  const buffer = new Uint8Array(256 * 1024);
  while (true) {
    const count = await connection.read(buffer);
    if (count === null) break;
    chunks.push(buffer.slice(0, count));
  }
  const all = new Uint8Array(chunks.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const chunk of chunks) {
    all.set(chunk, at);
    at += chunk.length;
  }
  return all;
}

/** Bytes that differ from their neighbours and repeat rarely, so that lost or swapped ones are noticed. */
export function pattern(length: number): Uint8Array<ArrayBuffer> {
  const words = new Uint32Array(Math.ceil(length / 4));
  for (let index = 0; index < words.length; index++) words[index] = Math.imul(index + 1, 2_654_435_761);
  return new Uint8Array(words.buffer, 0, length);
}

/** A TCP server whose connections are handled by a function. */
export class TcpServer implements AsyncDisposable {
  readonly #listener: Deno.TcpListener;
  readonly #connections = new Set<Deno.Conn>();
  readonly #serving: Promise<void>;
  accepted = 0;

  constructor(
    hostname: string,
    handle: (connection: Deno.TcpConn) => Promise<void>,
    port = 8080,
  ) {
    this.#listener = Deno.listen({ hostname, port });
    this.#serving = this.#serve(handle);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    await this.#serving;
    for (const connection of this.#connections) close(connection);
  }

  async #serve(handle: (connection: Deno.TcpConn) => Promise<void>): Promise<void> {
    try {
      for await (const connection of this.#listener) {
        this.accepted++;
        this.#connections.add(connection);
        // Clients end connections in every way.
        void handle(connection).catch(() => {}).finally(() => {
          this.#connections.delete(connection);
          close(connection);
        });
      }
    } catch {
      // The listener was closed.
    }
  }
}

/**
 * Connects and waits for the end.
 * @returns "reset", also if the reset comes before the connection is reported to be established.
 */
export async function connectOrReset(address: Deno.ConnectOptions): Promise<"reset" | "end"> {
  try {
    using connection = await Deno.connect(address);
    await readAll(connection);
    return "end";
  } catch (error) {
    if (error instanceof Deno.errors.ConnectionReset) return "reset";
    throw error;
  }
}

/** Closes a connection that may be closed already. */
export function close(connection: Deno.Conn): void {
  try {
    connection.close();
  } catch {
    // It was.
  }
}

/** Sends back what it receives, then ends the stream. */
export async function echo(connection: Deno.TcpConn): Promise<void> {
  const buffer = new Uint8Array(64 * 1024);
  while (true) {
    const count = await connection.read(buffer);
    if (count === null) break;
    await writeAll(connection, buffer.subarray(0, count));
  }
  await connection.closeWrite();
}
