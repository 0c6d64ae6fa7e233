import { type Address, formatSocketAddress, socketKey } from "../../../core/net/address.ts";
import type { Family } from "../../../core/net/protocol.ts";
import { AF_INET, AF_INET6 } from "../../../ffi/inet.ts";
import { SocketAddress } from "../../../ffi/socket/address.ts";
import { EPOLLIN } from "../../../ffi/socket/constants.ts";
import { closeSocket } from "../../../ffi/socket/stream.ts";
import { localPort } from "../../../ffi/socket/tcp.ts";
import type { EventLoop, EventTarget } from "./event_loop.ts";
import type { RelayedProtocol, SharedListener, Side } from "./messages.ts";
import type { Warn } from "./rate_limited_warnings.ts";
import type { DirectFrontends, FrontendEntry, ServiceTable } from "./service_table.ts";

/** The frontends of what arrives at a listener. */
export type Destination =
  /** The frontend that the kernel redirected it from. */
  | { readonly side: Side; readonly table: ServiceTable }
  /** One frontend. */
  | { entry: FrontendEntry | undefined };

/** A socket of clients and its owner in the event loop. */
export interface Listening {
  readonly fd: number;
  readonly target: EventTarget;
}

export interface ListenerSetOptions {
  readonly loop: EventLoop;
  readonly protocol: RelayedProtocol;
  /**
   * Opens a socket.
   * @param operation for the error.
   * @throws KernelError
   */
  readonly open: (
    operation: string,
    family: Family,
    address: SocketAddress,
    destination: Destination,
  ) => Listening;
  /** Called before a socket is closed. */
  readonly closing: (listening: Listening) => void;
  readonly warn: Warn;
}

/** The sockets that clients of one protocol reach: shared ones, and those of one frontend. */
export class ListenerSet implements DirectFrontends {
  readonly #options: ListenerSetOptions;
  readonly #shared: Listening[] = [];
  /** Listeners of one frontend, by address and port. */
  readonly #direct = new Map<
    string,
    Listening & { readonly destination: { entry: FrontendEntry | undefined } }
  >();
  #isPaused = false;

  constructor(options: ListenerSetOptions) {
    this.#options = options;
  }

  /**
   * Opens a listener for what the kernel redirects.
   * @returns it with its port, which is another one if the preferred port is busy.
   * @throws KernelError
   */
  share(request: SharedListener, table: ServiceTable): SharedListener {
    const { family, side } = request;
    const unspecified = "\0".repeat(family === "IPv4" ? 4 : 16) as Address;
    const open = (port: number) => this.#open(family, unspecified, port, { side, table });
    let listening: Listening;
    try {
      listening = open(request.port);
    } catch (error) {
      if (request.port === 0) throw error;
      listening = open(0);
    }
    this.#shared.push(listening);
    return { ...request, port: localPort(listening.fd, new SocketAddress(addressFamily(family))) };
  }

  add(entry: FrontendEntry): void {
    const { listen } = entry.frontend;
    if (listen === undefined) return;
    const { address, port } = listen;
    const key = socketKey(address, port);
    const existing = this.#direct.get(key);
    if (existing !== undefined) {
      existing.destination.entry = entry;
      return;
    }
    const destination = { entry };
    try {
      const listening = this.#open(entry.service.spec.family, address, port, destination);
      this.#direct.set(key, { ...listening, destination });
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.#options.warn(`a frontend is not served: ${reason}`, { service: entry.service.spec.key });
    }
  }

  remove({ service, frontend: { listen } }: FrontendEntry): void {
    if (listen === undefined) return;
    const direct = this.#direct.get(socketKey(listen.address, listen.port));
    if (direct?.destination.entry?.service === service) direct.destination.entry = undefined;
  }

  settle(): void {
    for (const [key, listening] of this.#direct) {
      if (listening.destination.entry !== undefined) continue;
      this.#close(listening);
      this.#direct.delete(key);
    }
  }

  /** Stops or resumes reporting clients. Those that come meanwhile wait in the kernel. */
  setPaused(isPaused: boolean): void {
    this.#isPaused = isPaused;
    for (const { fd } of this.#all()) this.#options.loop.modify(fd, isPaused ? 0 : EPOLLIN);
  }

  closeAll(): void {
    for (const listening of this.#all()) this.#close(listening);
    this.#shared.length = 0;
    this.#direct.clear();
  }

  #open(family: Family, address: Address, port: number, destination: Destination): Listening {
    const { loop, protocol, open } = this.#options;
    const socketAddress = new SocketAddress(addressFamily(family));
    socketAddress.set(address, port);
    const operation = `listen on ${formatSocketAddress(address, port)}/${protocol}`;
    const listening = open(operation, family, socketAddress, destination);
    loop.add(listening.fd, listening.target, this.#isPaused ? 0 : EPOLLIN);
    return listening;
  }

  #close(listening: Listening): void {
    this.#options.closing(listening);
    this.#options.loop.forget(listening.fd);
    closeSocket(listening.fd);
  }

  *#all(): Generator<Listening> {
    yield* this.#shared;
    yield* this.#direct.values();
  }
}

export function addressFamily(family: Family): number {
  return family === "IPv4" ? AF_INET : AF_INET6;
}
