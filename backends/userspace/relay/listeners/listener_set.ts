import { type Address, formatSocketAddress, socketKey, UNSPECIFIED } from "../../../../core/net/address.ts";
import type { Family } from "../../../../core/net/protocol.ts";
import { SocketAddress } from "../../../../ffi/socket/address.ts";
import { EPOLLIN } from "../../../../ffi/socket/constants.ts";
import { closeSocket } from "../../../../ffi/socket/stream.ts";
import { localPort } from "../../../../ffi/socket/tcp.ts";
import { FAMILY_NUMBERS } from "../../../protocol_numbers.ts";
import type { EventLoop, EventTarget } from "../event_loop.ts";
import type { FailedListener, ListenerChanges, RelayedProtocol, SharedListener, Side } from "../messages.ts";
import type { DirectFrontends, FrontendEntry, ServiceTable } from "../services/service_table.ts";
import type { NamedDescriptors } from "./hand_over.ts";
import type { InheritedSockets } from "./inherited_sockets.ts";
import { directListenerName, sharedListenerName } from "./listener_names.ts";

/** The frontends of what arrives at a listener. */
export type Destination =
  /** The frontend that the kernel redirected it from. */
  | { readonly side: Side; readonly table: ServiceTable }
  /** One frontend. */
  | { entry: FrontendEntry | undefined };

/** A socket of clients and its owner in the event loop. */
export interface Opened {
  readonly fd: number;
  readonly target: EventTarget;
}

interface Listening extends Opened {
  readonly name: string;
}

export interface ListenerSetOptions {
  readonly loop: EventLoop;
  readonly protocol: RelayedProtocol;
  readonly inherited: InheritedSockets;
  /**
   * Opens a socket, or serves one of an earlier process.
   * @param operation for the error.
   * @throws KernelError
   */
  readonly open: (
    operation: string,
    family: Family,
    address: SocketAddress,
    destination: Destination,
    inherited: number | undefined,
  ) => Opened;
  /** Reports whether the process may open a file for another listener of one frontend. */
  readonly hasRoom: () => boolean;
  /** Called before a socket is closed. */
  readonly closing: (listening: Opened) => void;
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
  #failed: FailedListener[] = [];
  #opened: Record<string, number> = {};
  #closed: string[] = [];
  #isPaused = false;
  /** True from when all services are known until the relay stops. */
  #isServing = false;
  #hasBegun = false;

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
    const name = sharedListenerName(request);
    const open = (port: number) => this.#open(name, family, UNSPECIFIED[family], port, { side, table });
    let listening: Listening;
    try {
      listening = open(request.port);
    } catch (error) {
      if (request.port === 0) throw error;
      listening = open(0);
    }
    this.#shared.push(listening);
    return { ...request, port: localPort(listening.fd, new SocketAddress(FAMILY_NUMBERS[family])) };
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
      if (!this.#options.hasRoom()) throw new Error(this.#noRoom(address, port));
      const name = directListenerName(this.#options.protocol, address, port);
      const listening = this.#open(name, entry.service.spec.family, address, port, destination);
      this.#direct.set(key, { ...listening, destination });
      this.#opened[name] = listening.fd;
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.#failed.push({ key: entry.service.spec.key, kind: entry.frontend.kind, address, port, reason });
    }
  }

  /** Number of listeners. */
  get size(): number {
    return this.#shared.length + this.#direct.size;
  }

  /** Returns the listeners of single frontends that were opened, closed or failed since the last call. */
  takeChanges(): ListenerChanges {
    const changes = { failed: this.#failed, opened: this.#opened, closed: this.#closed };
    this.#failed = [];
    this.#opened = {};
    this.#closed = [];
    return changes;
  }

  remove({ service, frontend: { listen } }: FrontendEntry): void {
    if (listen === undefined) return;
    const direct = this.#direct.get(socketKey(listen.address, listen.port));
    if (direct?.destination.entry?.service === service) direct.destination.entry = undefined;
  }

  settle(): void {
    for (const [key, listening] of this.#direct) {
      if (listening.destination.entry !== undefined) continue;
      this.#options.closing(listening);
      this.#close(listening);
      this.#direct.delete(key);
      this.#closed.push(listening.name);
    }
  }

  /** Stops or resumes reporting clients. Those that come meanwhile wait in the kernel. */
  setPaused(isPaused: boolean): void {
    this.#isPaused = isPaused;
    this.#updateEvents();
  }

  /** Reports clients from now on. Does nothing after the first time. */
  begin(): void {
    if (this.#hasBegun) return;
    this.#hasBegun = this.#isServing = true;
    this.#updateEvents();
  }

  /** Reports no more clients. Those that come wait for the next process that has the sockets. */
  stop(): void {
    this.#isServing = false;
    this.#updateEvents();
  }

  /** Returns the sockets of the shared listeners, by name. */
  sharedDescriptors(): NamedDescriptors {
    return Object.fromEntries(this.#shared.map(({ name, fd }) => [name, fd]));
  }

  /** Returns the sockets of all listeners, by name. */
  descriptors(): NamedDescriptors {
    return Object.fromEntries([...this.#all()].map(({ name, fd }) => [name, fd]));
  }

  /** Closes all sockets. */
  closeAll(): void {
    for (const listening of this.#all()) this.#options.closing(listening);
    this.forgetAll();
  }

  /** Closes all sockets without serving the clients that wait, because another process has the sockets, too. */
  forgetAll(): void {
    for (const listening of this.#all()) this.#close(listening);
    this.#shared.length = 0;
    this.#direct.clear();
  }

  get #events(): number {
    return this.#isServing && !this.#isPaused ? EPOLLIN : 0;
  }

  #updateEvents(): void {
    for (const { fd } of this.#all()) this.#options.loop.modify(fd, this.#events);
  }

  #open(
    name: string,
    family: Family,
    address: Address,
    port: number,
    destination: Destination,
  ): Listening {
    const { loop, protocol, inherited, open } = this.#options;
    const socketAddress = new SocketAddress(FAMILY_NUMBERS[family]);
    socketAddress.set(address, port);
    const operation = `listen on ${formatSocketAddress(address, port)}/${protocol}`;
    const { fd, target } = open(operation, family, socketAddress, destination, inherited.take(name));
    loop.add(fd, target, this.#events);
    return { name, fd, target };
  }

  #noRoom(address: Address, port: number): string {
    return `listen on ${
      formatSocketAddress(address, port)
    }/${this.#options.protocol}: half of the files that the ` +
      "process may open are listeners. Raise the limit of open files (LimitNOFILE)";
  }

  #close({ fd }: Listening): void {
    // A socket that another process has, too, stays registered after it is closed here.
    this.#options.loop.remove(fd);
    closeSocket(fd);
  }

  *#all(): Generator<Listening> {
    yield* this.#shared;
    yield* this.#direct.values();
  }
}
