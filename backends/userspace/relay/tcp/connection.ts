import {
  EPOLLERR,
  EPOLLET,
  EPOLLHUP,
  EPOLLIN,
  EPOLLOUT,
  EPOLLPRI,
  EPOLLRDHUP,
} from "../../../../ffi/socket/constants.ts";
import type { Continuation, EventTarget } from "../event_loop.ts";
import { Expiring } from "../expiry_list.ts";
import type { EndpointList } from "../messages.ts";
import type { Service } from "../services/service_table.ts";
import { Direction } from "./direction.ts";
import { type Failure, hasFailed, type Progress } from "./transfer.ts";

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
  /** Time when the current endpoint was chosen. */
  began: number;
  /** Endpoints that did not answer in time, and those that rejected the connection; packed. */
  silent: readonly string[];
  rejecting: readonly string[];
}

const NONE: readonly string[] = [];

export function newAttempt({ list, client, header }: Pick<Attempt, "list" | "client" | "header">): Attempt {
  return { list, client, header, endpoints: "", offset: 0, began: 0, silent: NONE, rejecting: NONE };
}

/** The owner of connections, `TcpRelay`, as a connection sees it. */
export interface ConnectionOwner {
  /** Registers the client's socket for events. @returns false if that failed. */
  watchClient(connection: Connection): boolean;
  /** Reports from now on when a socket can be written again. */
  watchWritable(fd: number): void;
  pump(direction: Direction): Progress;
  /** Drops the bytes that a direction holds. */
  abandon(direction: Direction): void;
  continueLater(connection: Connection): void;
  /** Reports whether the endpoint has sent bytes. */
  hasAnswer(connection: Connection): boolean;
  /** The endpoint has answered. */
  connected(connection: Connection): void;
  /** The attempt failed: tries another endpoint or gives up. */
  attemptFailed(connection: Connection): void;
  /** Both streams have ended. */
  finished(connection: Connection): void;
  /**
   * One side has failed: resets the other one when it has what the failed side has sent.
   * @param hasMoved bytes were moved since the last call.
   */
  resetLater(connection: Connection, hasMoved: boolean): void;
  /** Nobody is left to receive anything: resets both sides. */
  failed(connection: Connection): void;
}

/** Events of a socket that is written without waiting. They are reported once per change. */
export const READ_EVENTS = EPOLLIN | EPOLLPRI | EPOLLRDHUP | EPOLLET;
/** Events of a socket that connects, or whose buffer was full. */
export const READ_WRITE_EVENTS = READ_EVENTS | EPOLLOUT;

/**
 * A client's connection and the one to its endpoint. It is in a list of deadlines while it connects, and when one side
 * has failed.
 */
export class Connection extends Expiring implements EventTarget, Continuation {
  readonly service: Service;
  readonly client: number;
  endpoint = -1;
  /** Undefined when the connection to the endpoint is established. */
  attempt: Attempt | undefined;
  readonly toEndpoint = new Direction();
  readonly toClient = new Direction();
  isClosed = false;
  /** The bytes of a side that has failed: all that is still moved. Undefined while both sides work. */
  #rest: Direction | undefined;
  /** The other side's socket has taken all of them. */
  isRestMoved = false;
  /** Bytes that the other side had not acknowledged at the last look. */
  unacknowledged = 0;
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
      // An endpoint that has sent bytes accepted the connection before it failed.
      if ((events & (EPOLLERR | EPOLLHUP)) !== 0 && !this.#owner.hasAnswer(this)) {
        return this.#owner.attemptFailed(this);
      }
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
    if ((events & (EPOLLIN | EPOLLPRI)) !== 0) incoming.isReadable = true;
    if ((events & EPOLLPRI) !== 0) incoming.isUrgent = true;
    if ((events & EPOLLOUT) !== 0) outgoing.isBlocked = false;
    // Nothing is written to a socket with an error, so that reading reports it after the last bytes.
    if ((events & EPOLLERR) !== 0) this.#sideFailed(incoming);
    else this.#pump();
  }

  /** Socket of the side that has not failed, if one has. */
  get survivor(): number {
    return this.#rest?.target ?? -1;
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
    if (this.#rest !== undefined) return this.#pumpRest(this.#rest);
    const { toEndpoint, toClient } = this;
    const there = this.#owner.pump(toEndpoint);
    if (hasFailed(there)) return this.#pumpFailed(there, toEndpoint);
    const back = this.#owner.pump(toClient);
    if (hasFailed(back)) return this.#pumpFailed(back, toClient);
    if (toEndpoint.isDone && toClient.isDone) return this.#owner.finished(this);
    this.#watchBlockedClient();
    if (there === "unfinished" || back === "unfinished") this.#continueLater();
  }

  #pumpFailed(failure: Failure, direction: Direction): void {
    if (failure === "source failed") return this.#sideFailed(direction);
    const opposite = this.#oppositeOf(direction);
    // The write has taken the error, so that reading would report an end of the stream.
    if (failure === "target failed") opposite.isCut = true;
    this.#sideFailed(opposite);
  }

  /**
   * Gives up what would go to a side that has failed, and passes on what has come from it.
   * @param rest the direction whose source has failed.
   */
  #sideFailed(rest: Direction): void {
    if (this.#rest !== undefined && this.#rest !== rest) return this.#owner.failed(this);
    this.#rest = rest;
    this.#owner.abandon(this.#oppositeOf(rest));
    rest.isHungUp = rest.isReadable = true;
    this.#pumpRest(rest);
  }

  #pumpRest(rest: Direction): void {
    const before = rest.moved;
    const progress = this.#owner.pump(rest);
    if (progress === "unfinished") return this.#continueLater();
    if (hasFailed(progress) && progress !== "source failed") return this.#owner.failed(this);
    this.#watchBlockedClient();
    this.isRestMoved = !rest.isBlocked;
    this.#owner.resetLater(this, rest.moved !== before);
  }

  #oppositeOf(direction: Direction): Direction {
    return direction === this.toClient ? this.toEndpoint : this.toClient;
  }

  #watchBlockedClient(): void {
    if (!this.toClient.isBlocked || this.#clientHasWriteEvents) return;
    this.#clientHasWriteEvents = true;
    this.#owner.watchWritable(this.client);
  }

  #continueLater(): void {
    if (this.#isContinued) return;
    this.#isContinued = true;
    this.#owner.continueLater(this);
  }
}
