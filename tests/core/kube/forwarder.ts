/** What the way to the server does to what passes, in both directions; may be changed at any time. */
export interface Way {
  /** Milliseconds each piece is held back. */
  readonly delay?: number;
  /** Bytes a second. */
  readonly rate?: number;
  /** New connections are taken and lead nowhere. */
  readonly isLost?: boolean;
}

/** TCP to a port of this machine, by a way that can be slow, get lost, or be closed. */
export class Forwarder implements Disposable {
  readonly port: number;
  way: Way = {};
  #listener: Deno.TcpListener | undefined;
  readonly #connections = new Set<Connection>();

  constructor(private readonly to: number) {
    this.#listener = this.#listen(0);
    this.port = this.#listener.addr.port;
  }

  /** Every connection that exists stays open, and nothing more comes through it. New ones are not affected. */
  loseConnections(): void {
    for (const connection of this.#connections) connection.isLost = true;
  }

  /** Ends all connections and refuses new ones. */
  close(): void {
    this.#listener?.close();
    this.#listener = undefined;
    this.breakConnections();
  }

  /** Ends all connections. */
  breakConnections(): void {
    for (const connection of this.#connections) connection.close();
  }

  /** Takes connections again. */
  open(): void {
    this.#listener ??= this.#listen(this.port);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #listen(port: number): Deno.TcpListener {
    const listener = Deno.listen({ hostname: "127.0.0.1", port });
    this.#accept(listener);
    return listener;
  }

  async #accept(listener: Deno.TcpListener): Promise<void> {
    for await (const client of listener) this.#forward(client);
  }

  async #forward(client: Deno.TcpConn): Promise<void> {
    let server;
    try {
      server = await Deno.connect({ hostname: "127.0.0.1", port: this.to });
    } catch {
      client.close();
      return;
    }
    const connection = new Connection(client, server, this.way.isLost ?? false);
    this.#connections.add(connection);
    await Promise.all([connection.pump(client, server, this), connection.pump(server, client, this)]);
    this.#connections.delete(connection);
  }
}

class Connection {
  #isOpen = true;

  constructor(
    private readonly client: Deno.TcpConn,
    private readonly server: Deno.TcpConn,
    public isLost: boolean,
  ) {}

  async pump(from: Deno.TcpConn, to: Deno.TcpConn, forwarder: { readonly way: Way }): Promise<void> {
    const buffer = new Uint8Array(16_384);
    try {
      for (let n = await from.read(buffer); n !== null; n = await from.read(buffer)) {
        const { delay = 0, rate = Infinity } = forwarder.way;
        const pause = Math.max(delay, n / rate * 1000);
        if (pause > 0) await new Promise((resolve) => setTimeout(resolve, pause));
        for (let at = 0; at < n && !this.isLost;) at += await to.write(buffer.subarray(at, n));
      }
    } catch {
      // One side is gone.
    }
    // Who is lost is not told of the end either.
    if (!this.isLost) this.close();
  }

  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.client.close();
    this.server.close();
  }
}
