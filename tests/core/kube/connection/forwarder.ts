/** Treatment of the traffic in both directions. It may be changed at any time. */
export interface LinkConditions {
  /** Delay of each chunk. */
  readonly delayMs?: number;
  /** In bytes per second. */
  readonly rate?: number;
  /** New connections are accepted, and their data is dropped. */
  readonly isLossy?: boolean;
}

/** Forwards TCP to a port of this machine over a link that can be slow, lossy or closed. */
export class Forwarder implements Disposable {
  readonly port: number;
  conditions: LinkConditions = {};
  #listener: Deno.TcpListener | undefined;
  readonly #connections = new Set<Connection>();

  constructor(private readonly to: number) {
    this.#listener = this.#listen(0);
    this.port = this.#listener.addr.port;
  }

  /** Drops all further data of the existing connections, which stay open. New connections are not affected. */
  blackhole(): void {
    for (const connection of this.#connections) connection.isLossy = true;
  }

  /** Closes all connections and rejects new ones. */
  close(): void {
    this.#listener?.close();
    this.#listener = undefined;
    this.breakConnections();
  }

  /** Closes all connections. */
  breakConnections(): void {
    for (const connection of this.#connections) connection.close();
  }

  /** Accepts connections again. */
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
    const connection = new Connection(client, server, this.conditions.isLossy ?? false);
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
    public isLossy: boolean,
  ) {}

  async pump(
    from: Deno.TcpConn,
    to: Deno.TcpConn,
    forwarder: { readonly conditions: LinkConditions },
  ): Promise<void> {
    const buffer = new Uint8Array(16_384);
    try {
      for (let n = await from.read(buffer); n !== null; n = await from.read(buffer)) {
        const { delayMs = 0, rate = Infinity } = forwarder.conditions;
        const pause = Math.max(delayMs, n / rate * 1000);
        if (pause > 0) await new Promise((resolve) => setTimeout(resolve, pause));
        for (let at = 0; at < n && !this.isLossy;) at += await to.write(buffer.subarray(at, n));
      }
    } catch {
      // One side closed the connection.
    }
    // A client whose connection is lost does not see its end either.
    if (!this.isLossy) this.close();
  }

  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.client.close();
    this.server.close();
  }
}
