import { formatSocketAddress, socketKey } from "../../../../core/net/address.ts";
import type { Address } from "../../../../core/net/address.ts";
import type { Family } from "../../../../core/net/protocol.ts";
import { AF_INET, AF_INET6 } from "../../../../ffi/inet.ts";
import { SocketAddress } from "../../../../ffi/socket/address.ts";
import { EPOLLIN } from "../../../../ffi/socket/constants.ts";
import { setConnectionOptions } from "../../../../ffi/socket/options.ts";
import { closeSocket } from "../../../../ffi/socket/stream.ts";
import { listenTcp, localPort } from "../../../../ffi/socket/tcp.ts";
import type { EventLoop, Timer } from "../event_loop.ts";
import type { SharedListener } from "../messages.ts";
import type { DirectFrontends, FrontendEntry, ServiceTable } from "../service_table.ts";
import type { Warn } from "../rate_limited_warnings.ts";
import { type Destination, TcpListener } from "./listener.ts";
import { KEEP_ALIVE, type TcpRelay } from "./tcp_relay.ts";

/** Time without accepting, when there are no descriptors left or too many connections. Clients wait in the backlog. */
const PAUSE_MS = 100;

interface Listening {
  readonly fd: number;
  readonly target: TcpListener;
}

interface DirectListening extends Listening {
  readonly destination: { entry: FrontendEntry | undefined };
}

/** The sockets that accept TCP connections. */
export class TcpListeners implements DirectFrontends, Timer {
  readonly #loop: EventLoop;
  readonly #relay: TcpRelay;
  readonly #warn: Warn;
  readonly #shared: Listening[] = [];
  /** Listeners of one frontend, by address and port. */
  readonly #direct = new Map<string, DirectListening>();
  /** End of the pause; Infinity while connections are accepted. */
  nextDeadline = Infinity;

  constructor(loop: EventLoop, relay: TcpRelay, warn: Warn) {
    this.#loop = loop;
    this.#relay = relay;
    this.#warn = warn;
    loop.addTimer(this);
  }

  /**
   * Opens a listener for redirected connections.
   * @returns it with its port.
   * @throws KernelError
   */
  share(request: SharedListener, table: ServiceTable): SharedListener {
    const { family, side } = request;
    const unspecified = "\0".repeat(family === "IPv4" ? 4 : 16);
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
      this.#direct.set(key, {
        ...this.#open(entry.service.spec.family, address, port, destination),
        destination,
      });
    } catch (error) {
      const { key: service } = entry.service.spec;
      this.#warn(`a frontend is not served: ${error instanceof Error ? error.message : error}`, { service });
    }
  }

  remove({ service, frontend: { listen } }: FrontendEntry): void {
    if (listen === undefined) return;
    const direct = this.#direct.get(socketKey(listen.address, listen.port));
    if (direct?.destination.entry?.service === service) direct.destination.entry = undefined;
  }

  settle(): void {
    for (const [key, { fd, destination }] of this.#direct) {
      if (destination.entry !== undefined) continue;
      this.#close(fd);
      this.#direct.delete(key);
    }
  }

  /** Ends the pause. */
  expire(): void {
    this.nextDeadline = Infinity;
    for (const { fd } of this.#all()) this.#loop.modify(fd, EPOLLIN);
  }

  /** Accepts the connections that wait, and closes the listeners. */
  closeAll(): void {
    for (const { fd, target } of this.#all()) {
      target.handleEvents(fd);
      this.#close(fd);
    }
    this.#shared.length = 0;
    this.#direct.clear();
    this.nextDeadline = Infinity;
  }

  #pause(): void {
    if (this.nextDeadline !== Infinity) return;
    this.nextDeadline = this.#loop.now + PAUSE_MS;
    for (const { fd } of this.#all()) this.#loop.modify(fd, 0);
    const connections = this.#relay.openConnections;
    this.#warn("no connections are accepted for a moment, because there are too many", { connections });
  }

  #open(family: Family, address: string, port: number, destination: Destination): Listening {
    const socketAddress = new SocketAddress(addressFamily(family));
    socketAddress.set(address, port);
    const operation = `listen on ${formatSocketAddress(address as Address, port)}/TCP`;
    const fd = listenTcp(operation, addressFamily(family), socketAddress);
    setConnectionOptions(fd, KEEP_ALIVE);
    const pause = () => this.#pause();
    const target = new TcpListener({ family, relay: this.#relay, destination, pause });
    this.#loop.add(fd, target, this.nextDeadline === Infinity ? EPOLLIN : 0);
    return { fd, target };
  }

  #close(fd: number): void {
    this.#loop.forget(fd);
    closeSocket(fd);
  }

  *#all(): Generator<Listening> {
    yield* this.#shared;
    yield* this.#direct.values();
  }
}

function addressFamily(family: Family): number {
  return family === "IPv4" ? AF_INET : AF_INET6;
}
