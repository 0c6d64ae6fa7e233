import type { ConnectionLimits } from "../../../../core/observe/http/connections.ts";
import { type Route, serve } from "../../../../core/observe/http/server.ts";
import { text } from "../../../../core/observe/http/text.ts";
import type { Log } from "../../../../core/observe/log.ts";
import { silentLog } from "../log/silent_log.ts";

/** A server on a free port, for clients that speak raw HTTP. */
export class TestServer implements AsyncDisposable {
  readonly #stop = new AbortController();
  readonly #done: Promise<void>;

  private constructor(readonly port: number, done: Promise<void>, stop: AbortController) {
    this.#done = done;
    this.#stop = stop;
  }

  static async start(
    limits: Partial<ConnectionLimits> = {},
    routes: Readonly<Record<string, Route>> = { "/healthz": () => text("ok") },
    log: Partial<Log> = {},
  ): Promise<TestServer> {
    const stop = new AbortController();
    const listening = Promise.withResolvers<number>();
    const done = serve({
      name: "test",
      address: { hostname: "127.0.0.1", port: 0 },
      routes,
      paths: "cleaned",
      hardFail: true,
      log: { ...silentLog, ...log },
      limits,
      onListen: ({ port }) => listening.resolve(port),
    }, stop.signal);
    return new TestServer(await listening.promise, done, stop);
  }

  async connect(): Promise<Client> {
    return new Client(await Deno.connect({ hostname: "127.0.0.1", port: this.port }));
  }

  /** Sends bytes over a new connection. @returns everything that comes back until its end */
  async exchange(request: string): Promise<string> {
    using client = await this.connect();
    await client.send(request);
    return await client.rest();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#done;
  }
}

export class Client implements Disposable {
  constructor(readonly socket: Deno.TcpConn) {}

  async send(request: string): Promise<void> {
    const bytes = Uint8Array.from(request, (character) => character.charCodeAt(0));
    for (let at = 0; at < bytes.length;) at += await this.socket.write(bytes.subarray(at));
  }

  /** Sends one request. @returns the first bytes of its answer, which hold a small one; "" at the end */
  async ask(target = "/healthz"): Promise<string> {
    await this.send(`GET ${target} HTTP/1.1\r\nHost: x\r\n\r\n`);
    return await this.read();
  }

  /** @returns what has arrived; "" at the end of the connection, also when it is reset */
  async read(): Promise<string> {
    const buffer = new Uint8Array(64 * 1024);
    const count = await this.socket.read(buffer).catch(() => null);
    return new TextDecoder().decode(buffer.subarray(0, count ?? 0));
  }

  /** @returns everything until the end of the connection */
  async rest(): Promise<string> {
    let all = "";
    for (let part; (part = await this.read()) !== "";) all += part;
    return all;
  }

  [Symbol.dispose](): void {
    this.socket.close();
  }
}
