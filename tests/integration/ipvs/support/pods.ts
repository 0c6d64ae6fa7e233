import { run } from "../../support/network_namespace.ts";

/** An endpoint in this network namespace. Accepted connections stay open until the client or `dispose` closes them. */
export class Pod implements AsyncDisposable {
  readonly #connections: Deno.TcpConn[] = [];

  private constructor(readonly address: string, private readonly listener: Deno.TcpListener) {
    this.#serve();
  }

  /** @param address of the loopback device */
  static async start(address: string, port = 8080): Promise<Pod> {
    await run("ip", "address", "add", address, "dev", "lo", ...(address.includes(":") ? ["nodad"] : []));
    return new Pod(address, Deno.listen({ hostname: address, port }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.listener.close();
    for (const connection of this.#connections) connection.close();
    await run("ip", "address", "del", this.address, "dev", "lo");
  }

  /** Sends its name on each connection, and again for each byte received. */
  async #serve(): Promise<void> {
    for await (const connection of this.listener) {
      this.#connections.push(connection);
      this.#answer(connection).catch(() => {});
    }
  }

  async #answer(connection: Deno.TcpConn): Promise<void> {
    const name = new TextEncoder().encode(`${this.address} `);
    const asked = new Uint8Array(1);
    do await connection.write(name); while (await connection.read(asked) !== null);
  }
}

/** A client's open connection to a service. */
export class Connection implements Disposable {
  private constructor(private readonly socket: Deno.TcpConn, readonly pod: string) {}

  static async open(hostname: string, port = 80): Promise<Connection> {
    const socket = await Deno.connect({ hostname, port });
    return new Connection(socket, await nameOf(socket));
  }

  /** Sends another request. @returns the pod that answers */
  async ask(): Promise<string> {
    await this.socket.write(new Uint8Array(1));
    return await nameOf(this.socket);
  }

  /** Closes it with a reset, after which IPVS keeps its entry for 10 seconds instead of 2 minutes. */
  async reset(): Promise<void> {
    await this.socket.write(new Uint8Array(1));
    // Unread data makes the kernel reset the connection.
    await new Promise((resolve) => setTimeout(resolve, 100));
    this.socket.close();
  }

  [Symbol.dispose](): void {
    this.socket.close();
  }
}

async function nameOf(socket: Deno.TcpConn): Promise<string> {
  const buffer = new Uint8Array(64);
  const length = await socket.read(buffer);
  return new TextDecoder().decode(buffer.subarray(0, length ?? 0)).trim();
}
