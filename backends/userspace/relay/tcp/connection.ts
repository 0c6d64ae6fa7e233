import {
  EPOLLERR,
  EPOLLET,
  EPOLLHUP,
  EPOLLIN,
  EPOLLOUT,
  EPOLLRDHUP,
} from "../../../../ffi/socket/constants.ts";
import type { Continuation, EventTarget } from "../event_loop.ts";
import { Expiring } from "../expiry_list.ts";
import type { EndpointList } from "../messages.ts";
import type { Service } from "../services/service_table.ts";
import { Direction } from "./direction.ts";
import type { Progress } from "./transfer.ts";

/** The search for an endpoint that answers. */
export interface Attempt {
  readonly list: Exclude<EndpointList, "none">;
  /** Address of the client, one character per byte. */
  readonly client: string;
  /** Bytes for the endpoint before those of the client. */
  readonly header: Uint8Array<ArrayBuffer> | undefined;
  /** The packed endpoints that the current one was chosen from, and its offset. */
  endpoints: string;
  offset: number;
  /** Endpoints that did not answer in time, and those that rejected the connection; packed. */
  silent: readonly string[];
  rejecting: readonly string[];
}

const NONE: readonly string[] = [];

export function newAttempt({ list, client, header }: Pick<Attempt, "list" | "client" | "header">): Attempt {
  return { list, client, header, endpoints: "", offset: 0, silent: NONE, rejecting: NONE };
}

/** The owner of connections, `TcpRelay`, as a connection sees it. */
export interface ConnectionOwner {
  /** Registers the client's socket for events. @returns false if that failed. */
  watchClient(connection: Connection): boolean;
  /** Reports from now on when a socket can be written again. */
  watchWritable(fd: number): void;
  pump(direction: Direction): Progress;
  continueLater(connection: Connection): void;
  /** The endpoint has answered. */
  connected(connection: Connection): void;
  /** The attempt failed: tries another endpoint or gives up. */
  attemptFailed(connection: Connection): void;
  /** Both streams have ended. */
  finished(connection: Connection): void;
  /** One side has failed: resets the other. */
  failed(connection: Connection): void;
}

/** Events of a socket that is written without waiting. They are reported once per change. */
export const READ_EVENTS = EPOLLIN | EPOLLRDHUP | EPOLLET;
/** Events of a socket that connects, or whose buffer was full. */
export const READ_WRITE_EVENTS = READ_EVENTS | EPOLLOUT;

/** A client's connection and the one to its endpoint. It is in the list of deadlines while it connects. */
export class Connection extends Expiring implements EventTarget, Continuation {
  readonly service: Service;
  readonly client: number;
  endpoint = -1;
  /** Undefined when the connection to the endpoint is established. */
  attempt: Attempt | undefined;
  readonly toEndpoint = new Direction();
  readonly toClient = new Direction();
  isClosed = false;
  #isContinued = false;
  #clientHasWriteEvents = false;
  readonly #owner: ConnectionOwner;

  constructor(owner: ConnectionOwner, service: Service, client: number, attempt: Attempt) {
    super();
    this.#owner = owner;
    this.service = service;
    this.client = client;
    this.attempt = attempt;
  }

  handleEvents(fd: number, events: number): void {
    if (this.attempt !== undefined) {
      if ((events & (EPOLLERR | EPOLLHUP)) !== 0) return this.#owner.attemptFailed(this);
      if ((events & EPOLLOUT) === 0) return;
      this.#open();
      if (this.isClosed) return;
    }
    const isClient = fd === this.client;
    const incoming = isClient ? this.toEndpoint : this.toClient;
    const outgoing = isClient ? this.toClient : this.toEndpoint;
    if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) !== 0) {
      incoming.isHungUp = true;
      incoming.isReadable = true;
    }
    if ((events & EPOLLIN) !== 0) incoming.isReadable = true;
    // After an error, writing reports it.
    if ((events & (EPOLLOUT | EPOLLERR)) !== 0) outgoing.isBlocked = false;
    this.#pump();
    // Bytes that a failed side has sent were passed on as far as the other side takes them.
    if ((events & EPOLLERR) !== 0 && !this.isClosed) this.#owner.failed(this);
  }

  resume(): void {
    this.#isContinued = false;
    if (!this.isClosed) this.#pump();
  }

  /** Begins to move bytes. The client may have sent some before the endpoint answered. */
  #open(): void {
    const header = this.attempt?.header;
    this.#owner.connected(this);
    this.attempt = undefined;
    this.toEndpoint.source = this.toClient.target = this.client;
    this.toEndpoint.target = this.toClient.source = this.endpoint;
    this.toEndpoint.pending = header;
    this.toEndpoint.isReadable = true;
    if (!this.#owner.watchClient(this)) this.#owner.failed(this);
  }

  #pump(): void {
    const { toEndpoint, toClient } = this;
    const owner = this.#owner;
    const there = owner.pump(toEndpoint);
    const back = there === "failed" ? "failed" : owner.pump(toClient);
    if (back === "failed") return owner.failed(this);
    if (toEndpoint.isDone && toClient.isDone) return owner.finished(this);
    if (toClient.isBlocked && !this.#clientHasWriteEvents) {
      this.#clientHasWriteEvents = true;
      owner.watchWritable(this.client);
    }
    if ((there === "unfinished" || back === "unfinished") && !this.#isContinued) {
      this.#isContinued = true;
      owner.continueLater(this);
    }
  }
}
