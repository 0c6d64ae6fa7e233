import { delay } from "../../async/wakeup.ts";
import type { Log } from "../log.ts";
import type { Connections } from "./connections.ts";
import { type Answer, serveConnection } from "./serve_connection.ts";
import { text } from "./text.ts";

export interface ListenerOptions {
  readonly hostname: string;
  /** 0 for any free port. */
  readonly port: number;
  /** Name of the server in messages: "the healthz server". */
  readonly name: string;
  readonly connections: Connections;
  readonly answer: Answer;
  readonly log: Log;
}

const FIRST_PAUSE_MS = 50;
const MAX_PAUSE_MS = 1000;
/** Failures that are less than this time apart are one state, which is reported once. */
const RECOVERED_AFTER_MS = 60_000;

/**
 * A small HTTP/1.1 server, because Deno.serve and node:http (as Deno implements it) limit neither the number
 * of connections nor their time, and stop when the process runs out of file descriptors.
 */
export class HttpListener implements AsyncDisposable {
  readonly #options: ListenerOptions;
  readonly #listener: Deno.TcpListener;
  readonly #stop = new AbortController();
  readonly #accepting: Promise<void>;
  /** Connections being served, by what ends with them. */
  readonly #serving = new Map<{ close(): void }, Promise<void>>();

  /**
   * Listens. On "::" it accepts IPv4 as well, like the servers of kube-proxy.
   * @throws the error of Deno.listen when it cannot.
   */
  constructor(options: ListenerOptions) {
    this.#options = options;
    this.#listener = Deno.listen({ hostname: options.hostname, port: options.port });
    this.#accepting = this.#acceptAll();
  }

  /** Address with the port that was chosen. */
  get address(): Deno.NetAddr {
    return this.#listener.addr;
  }

  /** Stops listening and drops requests in flight. The port is free when it resolves. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    this.#listener.close();
    await this.#accepting;
    for (const connection of this.#serving.keys()) connection.close();
    await Promise.all(this.#serving.values());
  }

  async #acceptAll(): Promise<void> {
    const { name, connections, log } = this.#options;
    const { signal } = this.#stop;
    let pauseMs = FIRST_PAUSE_MS;
    let failedAt = -Infinity;
    while (!signal.aborted) {
      try {
        await this.#serve(await this.#listener.accept());
        pauseMs = FIRST_PAUSE_MS;
      } catch (error) {
        if (signal.aborted) return;
        // Most likely EMFILE or ENFILE. Clients wait in the queue of the kernel meanwhile.
        connections.closeWaiting();
        if (performance.now() - failedAt > RECOVERED_AFTER_MS) {
          log.error(
            "Accepting a connection failed; connections without a request are closed, and it is retried",
            {
              server: name,
              err: error,
            },
          );
        }
        failedAt = performance.now();
        await delay(pauseMs, signal);
        pauseMs = Math.min(2 * pauseMs, MAX_PAUSE_MS);
      }
    }
  }

  async #serve(socket: Deno.TcpConn): Promise<void> {
    const connection = await this.#options.connections.admit(socket);
    const served = serveConnection(connection, this.#answer).finally(() => this.#serving.delete(connection));
    this.#serving.set(connection, served);
  }

  /** Makes the answer, also when that fails. */
  readonly #answer: Answer = async (request, peer) => {
    try {
      return await this.#options.answer(request, peer);
    } catch (error) {
      this.#options.log.error(`A request to ${this.#options.name} failed`, { err: error });
      return text("internal error\n", 500);
    }
  };
}
