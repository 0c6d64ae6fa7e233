import { BufferedReader, ConnectionStream } from "../../../../core/kube/connection/byte_stream.ts";

/** A proxy that tunnels connections: HTTP CONNECT, or SOCKS5 with a password. */
export class ConnectProxy implements Disposable {
  /** Where clients asked to connect: "10.0.0.1:6443 for user:password". */
  readonly targets: string[] = [];
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly #connections = new Set<Deno.Conn>();

  constructor(scheme: "http" | "socks5") {
    this.#accept(scheme);
  }

  get port(): number {
    return this.#listener.addr.port;
  }

  [Symbol.dispose](): void {
    this.#listener.close();
    for (const connection of this.#connections) connection.close();
  }

  async #accept(scheme: "http" | "socks5"): Promise<void> {
    for await (const client of this.#listener) {
      this.#connections.add(client);
      (scheme === "http" ? this.#http(client) : this.#socks(client)).catch(() => {});
    }
  }

  async #http(client: Deno.Conn): Promise<void> {
    const stream = new ConnectionStream(client);
    const reader = new BufferedReader(stream);
    const [, target = ""] = /^CONNECT (\S+) HTTP/.exec(await reader.line()) ?? [];
    let user = "";
    for (let line = await reader.line(); line !== ""; line = await reader.line()) {
      user ||= /^Proxy-Authorization: Basic (.*)$/i.exec(line)?.[1] ?? "";
    }
    await this.#tunnel(client, target, atob(user), new TextEncoder().encode("HTTP/1.1 200 OK\r\n\r\n"));
  }

  async #socks(client: Deno.Conn): Promise<void> {
    const stream = new ConnectionStream(client);
    const reader = new BufferedReader(stream);
    const text = async () => {
      const [length = 0] = await reader.exactly(1);
      return new TextDecoder().decode(await reader.exactly(length));
    };
    const [, methods = 0] = await reader.exactly(2);
    await reader.exactly(methods);
    await stream.write(new Uint8Array([5, 2]));
    await reader.exactly(1);
    const user = `${await text()}:${await text()}`;
    await stream.write(new Uint8Array([1, 0]));
    const [, , , kind] = await reader.exactly(4);
    const host = kind === 1 ? [...await reader.exactly(4)].join(".") : await text();
    const [high = 0, low = 0] = await reader.exactly(2);
    const done = new Uint8Array([5, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    await this.#tunnel(client, `${host}:${high * 256 + low}`, user, done);
  }

  async #tunnel(
    client: Deno.Conn,
    target: string,
    user: string,
    done: Uint8Array<ArrayBuffer>,
  ): Promise<void> {
    this.targets.push(`${target} for ${user}`);
    const [hostname = "", port] = target.split(":");
    const server = await Deno.connect({ hostname, port: Number(port) });
    this.#connections.add(server);
    await client.write(done);
    const pump = async (from: Deno.Conn, to: Deno.Conn) => {
      const buffer = new Uint8Array(16_384);
      for (let n = await from.read(buffer); n !== null; n = await from.read(buffer)) {
        for (let at = 0; at < n;) at += await to.write(buffer.subarray(at, n));
      }
    };
    await Promise.race([pump(client, server), pump(server, client)]).catch(() => {});
    for (const connection of [client, server]) {
      if (this.#connections.delete(connection)) connection.close();
    }
  }
}
