import { linesOf } from "../../../../lab/lines.ts";
import assert from "node:assert/strict";

/** Both ends of a connection, as they see each other. */
export interface Connected {
  readonly server: string;
  /** Address of the client, as the server sees it. */
  readonly client: string;
  /** Address of the server, as the client sees it. */
  readonly peer: string;
  readonly port: number;
}

/** Sockets of one process (sockets.py), opened on request. */
export class Sockets implements AsyncDisposable {
  readonly #process: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  readonly #answers: AsyncIterator<string>;

  private constructor(process: Deno.ChildProcess) {
    this.#process = process;
    this.#input = process.stdin.getWriter();
    this.#answers = linesOf(process.stdout);
  }

  static async start(namespace: string, cgroup: string): Promise<Sockets> {
    const sockets = new Sockets(
      new Deno.Command("ip", {
        args: ["netns", "exec", namespace, "python3", SCRIPT, cgroup],
        stdin: "piped",
        stdout: "piped",
      }).spawn(),
    );
    assert.equal((await sockets.#answers.next()).value, "{}");
    return sockets;
  }

  get pid(): number {
    return this.#process.pid;
  }

  /** Answers TCP connections and datagrams. */
  serve(name: string, address: string, port: number): Promise<unknown> {
    return this.#do({ do: "serve", name, address, port });
  }

  /** Answers TCP connections with the destination that they had before a rule of netfilter redirected them. */
  serveOriginalDestination(port: number): Promise<unknown> {
    return this.#do({ do: "serve_original_destination", port });
  }

  connect(address: string, port: number, more: { protocol?: "UDP"; bind?: string } = {}): Promise<Connected> {
    return this.#do({ do: "connect", address, port, ...more });
  }

  /** Connects `count` sockets, and returns the number of connections per server. */
  connectMany(
    address: string,
    port: number,
    count: number,
    more: { protocol?: "UDP" } = {},
  ): Promise<Readonly<Record<string, number>>> {
    return this.#do({ do: "connect_many", address, port, count, ...more });
  }

  /** Connects one UDP socket over and over, and returns the number of connections and of each error. */
  connectFor(
    address: string,
    port: number,
    seconds: number,
    bind: string,
  ): Promise<{ connections: number; errors: Readonly<Record<string, number>> }> {
    return this.#do({ do: "connect_for", address, port, seconds, bind });
  }

  /** Connects a socket and keeps it open under a name. */
  keep(name: string, address: string, port: number, more: { protocol?: "UDP" } = {}): Promise<Connected> {
    return this.#do({ do: "keep", name, address, port, ...more });
  }

  /** Starts a TCP connection without waiting for it, and keeps the socket open under a name. */
  startConnecting(name: string, address: string, port: number): Promise<{ readonly outcome: string }> {
    return this.#do({ do: "start_connecting", name, address, port });
  }

  /** Sends a request on a kept socket. */
  ask(name: string): Promise<Connected> {
    return this.#do({ do: "ask", name });
  }

  /** Closes a kept TCP socket. Returns when the server has closed the connection, too. */
  close(name: string): Promise<unknown> {
    return this.#do({ do: "close", name });
  }

  /** Connects a kept socket to another address. */
  reconnect(name: string, address: string, port: number): Promise<Connected> {
    return this.#do({ do: "reconnect", name, address, port });
  }

  /** Sends datagrams on one unconnected socket, which stays open if it has a name. */
  send(
    address: string,
    port: number,
    more: { count?: number; name?: string } = {},
  ): Promise<{ servers: Readonly<Record<string, number>>; source: string; port: number }> {
    return this.#do({ do: "send", address, port, ...more });
  }

  /** Sends a datagram on a kept socket that is not connected, without waiting for the answer. */
  sendOnly(name: string, address: string, port: number): Promise<unknown> {
    return this.#do({ do: "send_only", name, address, port });
  }

  /** Receives a datagram on a kept socket. */
  receive(name: string): Promise<{ server: string; source: string; port: number }> {
    return this.#do({ do: "receive", name });
  }

  /** Sends a datagram to each destination on one socket. */
  sendToAll(destinations: readonly (readonly [address: string, port: number])[]): Promise<unknown> {
    return this.#do({ do: "send_to_all", destinations });
  }

  /** Disconnects a kept UDP socket. */
  disconnect(name: string): Promise<unknown> {
    return this.#do({ do: "disconnect", name });
  }

  /** Sends one datagram on each of `count` unconnected sockets. */
  sendFromMany(address: string, port: number, count: number): Promise<unknown> {
    return this.#do({ do: "send_from_many", address, port, count });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#input.close().catch(() => {});
    await this.#process.status;
  }

  /** @throws SocketError if a socket call fails. */
  async #do<Answer>(command: Readonly<Record<string, unknown>>): Promise<Answer> {
    await this.#input.write(new TextEncoder().encode(`${JSON.stringify(command)}\n`));
    const { value, done } = await this.#answers.next();
    assert(done !== true, "sockets.py ended");
    const answer = JSON.parse(value);
    if (answer.error !== undefined) throw new SocketError(answer.error);
    return answer;
  }
}

export class SocketError extends Error {}

const SCRIPT = new URL("./sockets.py", import.meta.url).pathname;
