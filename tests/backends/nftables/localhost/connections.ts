/** A TCP server that says its name to each client and echoes what the client sends. "echo" says no name. */
export class Server implements Disposable {
  readonly #listener: Deno.TcpListener;
  readonly #connections = new Set<Deno.TcpConn>();

  constructor(readonly host: string, readonly name: string) {
    this.#listener = Deno.listen({ hostname: host, port: 0 });
    this.#serve();
  }

  /** "127.0.0.1:40000" or "[::1]:40000" */
  get socket(): string {
    const { port } = this.#listener.addr;
    return this.host.includes(":") ? `[${this.host}]:${port}` : `${this.host}:${port}`;
  }

  [Symbol.dispose](): void {
    this.#listener.close();
    for (const connection of this.#connections) connection.close();
    this.#connections.clear();
  }

  async #serve(): Promise<void> {
    for await (const connection of this.#listener) {
      this.#connections.add(connection);
      this.#answer(connection).catch(() => {}).finally(() => {
        if (this.#connections.delete(connection)) connection.close();
      });
    }
  }

  async #answer(connection: Deno.TcpConn): Promise<void> {
    if (this.name !== "echo") await connection.write(new TextEncoder().encode(this.name));
    const received: Uint8Array[] = [];
    const buffer = new Uint8Array(4096);
    for (let length; (length = await connection.read(buffer)) !== null;) {
      if (this.name !== "echo") await connection.write(buffer.subarray(0, length));
      else received.push(buffer.slice(0, length));
    }
    // Only after the end, so that a relay that ends both directions at once loses it.
    for (const bytes of received) {
      for (let written = 0; written < bytes.length;) {
        written += await connection.write(bytes.subarray(written));
      }
    }
  }
}

/** Sends the text, ends sending, and returns everything that comes back. */
export async function answerOf(hostname: string, port: number, text = ""): Promise<string> {
  using connection = await Deno.connect({ hostname, port });
  const bytes = new TextEncoder().encode(text);
  for (let written = 0; written < bytes.length;) written += await connection.write(bytes.subarray(written));
  await connection.closeWrite().catch(() => {});
  const buffer = new Uint8Array(4096);
  const decoder = new TextDecoder();
  let answer = "";
  for (;;) {
    const length = await connection.read(buffer).catch(() => null);
    if (length === null) return answer;
    answer += decoder.decode(buffer.subarray(0, length), { stream: true });
  }
}

/** Reports whether nothing listens on the port. A listener that is being closed resets connections for a moment. */
export async function isRefused(hostname: string, port: number): Promise<boolean> {
  for (;;) {
    try {
      using _connection = await Deno.connect({ hostname, port });
      return false;
    } catch (error) {
      if (error instanceof Deno.errors.ConnectionRefused) return true;
      if (!(error instanceof Deno.errors.ConnectionReset)) throw error;
    }
  }
}

/** A port that nothing listens on. */
export function freePort(hostname: string): number {
  using listener = Deno.listen({ hostname, port: 0 });
  return listener.addr.port;
}
