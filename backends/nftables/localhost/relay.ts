import { type Address, formatAddress, LOOPBACK } from "../../../core/net/address.ts";
import type { Family } from "../../../core/net/protocol.ts";
import type { Endpoint, PlanKey } from "../../../core/plan/plan.ts";

/** A node port on a loopback address, and where its connections go. */
export interface RelayTarget {
  readonly planKey: PlanKey;
  readonly family: Family;
  readonly port: number;
  /** Not empty. */
  readonly endpoints: readonly Endpoint[];
  /** 0 for no affinity. */
  readonly affinitySeconds: number;
}

export interface RelayOptions {
  /** Called with the reason when accepting connections fails for the first time in a row. */
  readonly onAcceptFailure: (reason: unknown) => void;
  /** A clock that never goes back. */
  readonly nowMs?: () => number;
  /** Returns the index of the endpoint for a new connection. */
  readonly draw?: (count: number) => number;
}

/** The time limit of kube-proxy. */
const CONNECT_TIMEOUT_MS = 5000;
/** Pause after a failed accept, for example when the process has no file descriptor left. */
const ACCEPT_PAUSE_MS = 1000;
/** Further connections to the node port are closed at once. */
const MAX_CONNECTIONS = 1000;
/** Each connection has two buffers of this size. */
const BUFFER_BYTES = 32 * 1024;

/**
 * Relays the TCP connections to one node port on a loopback address. Connections outlive a change of the target, as
 * those that the kernel translates do. The end of the relay ends them.
 */
export class Relay implements Disposable {
  readonly #listener: Deno.TcpListener;
  readonly #options: Required<RelayOptions>;
  readonly #connections = new Set<Deno.TcpConn>();
  #target: RelayTarget;
  /** The endpoint that affinity binds the clients to. All of them have the same address. */
  #bound: { readonly endpoint: Endpoint; readonly usedMs: number } | undefined;
  #isClosed = false;

  /** @throws if the port cannot be opened. */
  constructor(target: RelayTarget, options: RelayOptions) {
    this.#target = target;
    this.#options = {
      nowMs: () => performance.now(),
      draw: (count) => Math.floor(Math.random() * count),
      ...options,
    };
    this.#listener = Deno.listen({ hostname: formatAddress(LOOPBACK[target.family]), port: target.port });
    this.#acceptAll();
  }

  set target(target: RelayTarget) {
    const { planKey, affinitySeconds } = this.#target;
    if (planKey !== target.planKey || affinitySeconds !== target.affinitySeconds) this.#bound = undefined;
    this.#target = target;
  }

  [Symbol.dispose](): void {
    this.#isClosed = true;
    this.#listener.close();
    for (const connection of this.#connections) close(connection);
  }

  async #acceptAll(): Promise<void> {
    for (let isFailing = false; !this.#isClosed;) {
      try {
        const client = await this.#listener.accept();
        isFailing = false;
        // Both connections of a client count.
        if (this.#connections.size >= 2 * MAX_CONNECTIONS) close(client);
        else this.#relay(client);
      } catch (reason) {
        if (this.#isClosed) return;
        if (!isFailing) this.#options.onAcceptFailure(reason);
        isFailing = true;
        await new Promise((resolve) => setTimeout(resolve, ACCEPT_PAUSE_MS));
      }
    }
  }

  /** Never fails: an endpoint that cannot be reached ends the client's connection. */
  async #relay(client: Deno.TcpConn): Promise<void> {
    this.#connections.add(client);
    let endpoint: Deno.TcpConn | undefined;
    try {
      endpoint = await connect(this.#choose());
      this.#connections.add(endpoint);
      if (this.#isClosed) return;
      for (const connection of [client, endpoint]) {
        connection.setKeepAlive();
        connection.setNoDelay();
      }
      await Promise.all([copy(client, endpoint), copy(endpoint, client)]);
    } catch {
      // The other side sees the end of its connection, as it would see a reset of the endpoint.
    } finally {
      for (const connection of [client, endpoint]) {
        if (connection === undefined) continue;
        this.#connections.delete(connection);
        close(connection);
      }
    }
  }

  #choose(): Endpoint {
    const { endpoints, affinitySeconds } = this.#target;
    if (affinitySeconds === 0) return this.#drawFrom(endpoints);
    const usedMs = this.#options.nowMs();
    const { endpoint: bound, usedMs: lastMs } = this.#bound ?? {};
    const isBound = lastMs !== undefined && usedMs - lastMs <= affinitySeconds * 1000;
    const known = isBound ? endpoints.find((endpoint) => isSame(endpoint, bound)) : undefined;
    const endpoint = known ?? this.#drawFrom(endpoints);
    this.#bound = { endpoint, usedMs };
    return endpoint;
  }

  #drawFrom(endpoints: readonly Endpoint[]): Endpoint {
    const endpoint = endpoints[this.#options.draw(endpoints.length)];
    if (endpoint === undefined) throw new Error("a relay has no endpoint");
    return endpoint;
  }
}

function isSame(a: Endpoint, b: Endpoint | undefined): boolean {
  return a.address === b?.address && a.port === b.port;
}

async function connect({ address, port }: { address: Address; port: number }): Promise<Deno.TcpConn> {
  const timeout = new AbortController();
  const timer = setTimeout(() => timeout.abort(), CONNECT_TIMEOUT_MS);
  try {
    return await Deno.connect({ hostname: formatAddress(address), port, signal: timeout.signal });
  } finally {
    clearTimeout(timer);
  }
}

/** Copies until the end of the data, and passes the end on: the other direction may continue. */
async function copy(from: Deno.TcpConn, to: Deno.TcpConn): Promise<void> {
  try {
    const buffer = new Uint8Array(BUFFER_BYTES);
    for (;;) {
      const length = await from.read(buffer);
      if (length === null) break;
      for (let written = 0; written < length;) written += await to.write(buffer.subarray(written, length));
    }
    await to.closeWrite();
  } catch (error) {
    // Ends the other direction, which may wait for data for ever.
    close(from);
    close(to);
    throw error;
  }
}

function close(connection: Deno.TcpConn): void {
  try {
    connection.close();
  } catch {
    // It is closed.
  }
}
