import { errnoName } from "../../../../ffi/errno.ts";
import { SOL_SOCKET } from "../../../../ffi/libraries/libc.ts";
import { SocketAddress } from "../../../../ffi/socket/address.ts";
import { EADDRNOTAVAIL, SO_MARK } from "../../../../ffi/socket/constants.ts";
import {
  type KeepAlive,
  reset,
  setConnectionOptions,
  setOption,
  takeError,
  unreadBytes,
} from "../../../../ffi/socket/options.ts";
import { closeSocket } from "../../../../ffi/socket/stream.ts";
import { connectTcp, tcpSocket } from "../../../../ffi/socket/tcp.ts";
import { FAMILY_NUMBERS } from "../../../protocol_numbers.ts";
import type { EndpointPicker } from "../endpoints/endpoint_picker.ts";
import { endpointAt, PACKED_BYTES } from "../endpoints/packed_endpoints.ts";
import type { EventLoop, Timer } from "../event_loop.ts";
import { ExpiryList } from "../expiry_list.ts";
import { endpointsOf, type Service } from "../services/service_table.ts";
import {
  type Attempt,
  Connection,
  type ConnectionOwner,
  READ_EVENTS,
  READ_WRITE_EVENTS,
} from "./connection.ts";
import { DelayedResets } from "./delayed_resets.ts";
import type { Direction } from "./direction.ts";
import type { Progress, Transfer } from "./transfer.ts";

/** Time for each attempt that an endpoint leaves unanswered, as kube-proxy had it. */
const ATTEMPT_MS = [250, 500, 1000, 2000] as const;
/** Endpoints that may reject one connection before it is given up. */
const MAX_REJECTIONS = 16;

/** A dead peer is noticed after 2 minutes, and both sides are probed, as each would do on a direct connection. */
export const KEEP_ALIVE: KeepAlive = { idle: 60, interval: 15, probes: 4 };

/**
 * When this part of all connections is taken, a service that has more than its share gets no more, so that one service
 * cannot take all connections from the others.
 */
const SCARCE = 0.75;
const SERVICE_SHARE = 0.5;

/** Connections from which transfers are smaller. */
const CROWDED = 1000;

export interface TcpRelayOptions {
  readonly loop: EventLoop;
  readonly picker: EndpointPicker;
  readonly transfer: Transfer;
  /** For the log. */
  readonly endpointFailed: (service: Service, endpoint: string, reason: string) => void;
  /** SO_MARK; 0 for none. */
  readonly mark: number;
  readonly maxConnections: number;
}

/** Connects clients to endpoints, and owns all TCP connections of the thread. */
export class TcpRelay implements ConnectionOwner, Timer {
  readonly #loop: EventLoop;
  readonly #picker: EndpointPicker;
  readonly #transfer: Transfer;
  readonly #endpointFailed: TcpRelayOptions["endpointFailed"];
  readonly #mark: number;
  /** Connections at a time. May change, also to less than are open. */
  maxConnections: number;
  /** Connections whose attempt waits for an answer, by the number of attempts before it. */
  readonly #attempts = ATTEMPT_MS.map((milliseconds) => new ExpiryList<Connection>(milliseconds));
  readonly #delayedResets = new DelayedResets((connection) => this.failed(connection));
  readonly #connections = new Set<Connection>();
  readonly #addresses = {
    IPv4: new SocketAddress(FAMILY_NUMBERS.IPv4),
    IPv6: new SocketAddress(FAMILY_NUMBERS.IPv6),
  };

  constructor({ loop, picker, transfer, endpointFailed, mark, maxConnections }: TcpRelayOptions) {
    this.#loop = loop;
    this.#picker = picker;
    this.#transfer = transfer;
    this.#endpointFailed = endpointFailed;
    this.#mark = mark;
    this.maxConnections = maxConnections;
    loop.addTimer(this);
    loop.addTimer(this.#delayedResets);
  }

  get openConnections(): number {
    return this.#connections.size;
  }

  get isFull(): boolean {
    return this.#connections.size >= this.maxConnections;
  }

  /** Reports whether a service may have another connection. */
  hasRoomFor(service: Service): boolean {
    return this.#connections.size < this.maxConnections * SCARCE ||
      service.open < this.maxConnections * SERVICE_SHARE;
  }

  /** Connects a client that was accepted. */
  serve(client: number, service: Service, attempt: Attempt): void {
    const connection = new Connection(this, service, client, attempt);
    this.#connections.add(connection);
    this.#transfer.isCrowded = this.#connections.size > CROWDED;
    service.connections++;
    service.open++;
    this.#tryNext(connection, attempt);
  }

  get nextDeadline(): number {
    let deadline = Infinity;
    for (const attempts of this.#attempts) deadline = Math.min(deadline, attempts.nextDeadline);
    return deadline;
  }

  expire(now: number): void {
    for (const attempts of this.#attempts) {
      for (
        let expired = attempts.takeExpired(now);
        expired !== undefined;
        expired = attempts.takeExpired(now)
      ) {
        const { attempt } = expired;
        if (attempt === undefined) continue;
        if (expired.endpoint >= 0) this.#unanswered(expired, attempt);
        else this.#tryNext(expired, attempt);
      }
    }
  }

  /** Ends all connections with a reset. */
  resetAll(): void {
    for (const connection of this.#connections) this.failed(connection);
  }

  /** Adds the bytes that open connections have moved so far to the counters of their services. */
  countBytes(): void {
    for (const connection of this.#connections) countBytes(connection);
  }

  watchClient(connection: Connection): boolean {
    return this.#loop.add(connection.client, connection, READ_EVENTS);
  }

  watchWritable(fd: number): void {
    this.#loop.modify(fd, READ_WRITE_EVENTS);
  }

  pump(direction: Direction): Progress {
    return this.#transfer.pump(direction);
  }

  continueLater(connection: Connection): void {
    this.#loop.continueLater(connection);
  }

  abandon(direction: Direction): void {
    this.#transfer.release(direction);
  }

  hasAnswer(connection: Connection): boolean {
    return unreadBytes(connection.endpoint) > 0;
  }

  connected(connection: Connection): void {
    this.#removeDeadline(connection);
    const { attempt, service } = connection;
    if (attempt !== undefined && this.#picker.hasFailures) {
      this.#picker.succeeded(service, endpointOf(service, attempt));
    }
  }

  attemptFailed(connection: Connection): void {
    const { attempt } = connection;
    if (attempt !== undefined) this.#rejected(connection, attempt, takeError(connection.endpoint));
  }

  finished(connection: Connection): void {
    this.#end(connection, closeSocket);
  }

  resetLater(connection: Connection, hasMoved: boolean): void {
    this.#delayedResets.request(connection, hasMoved, this.#loop.now);
  }

  failed(connection: Connection): void {
    this.#end(connection, reset);
  }

  /** Chooses an endpoint and begins to connect. Resets the client if there is none. */
  #tryNext(connection: Connection, attempt: Attempt): void {
    const { service } = connection;
    const list = endpointsOf(service, attempt.list);
    const offset = this.#choose(service, list, attempt);
    const timeouts = this.#attempts[attempt.silent.length];
    if (offset < 0 || timeouts === undefined || attempt.rejecting.length >= MAX_REJECTIONS) {
      service.failures++;
      return this.failed(connection);
    }
    const { family } = service.spec;
    const fd = tcpSocket(FAMILY_NUMBERS[family]);
    // Without descriptors, the client waits until other connections have ended.
    if (fd < 0) return timeouts.renew(connection, this.#loop.now);
    connection.endpoint = fd;
    attempt.endpoints = list;
    attempt.offset = offset;
    attempt.began = this.#loop.now;
    if (attempt.silent.length + attempt.rejecting.length > 0) service.retries++;
    if (this.#mark !== 0) setOption(fd, SOL_SOCKET, SO_MARK, this.#mark);
    setConnectionOptions(fd, KEEP_ALIVE);
    const address = this.#addresses[family];
    address.setPacked(list, offset);
    const error = connectTcp(fd, address);
    if (error !== 0) return this.#rejected(connection, attempt, error);
    timeouts.renew(connection, this.#loop.now);
    if (!this.#loop.add(fd, connection, READ_WRITE_EVENTS)) this.failed(connection);
  }

  /** Prefers endpoints that were not tried, then those that did not answer: their SYN may have been lost. */
  #choose(service: Service, list: string, { client, silent, rejecting }: Attempt): number {
    const { now } = this.#loop;
    const tried = silent.length === 0 ? rejecting : [...silent, ...rejecting];
    const offset = this.#picker.pick(service, list, client, tried, now);
    return offset >= 0 || silent.length === 0
      ? offset
      : this.#picker.pick(service, list, client, rejecting, now);
  }

  #unanswered(connection: Connection, attempt: Attempt): void {
    const endpoint = endpointOf(connection.service, attempt);
    this.#picker.failed(connection.service, endpoint, attempt.began, this.#loop.now);
    this.#endpointFailed(connection.service, endpoint, "no answer");
    attempt.silent = [...attempt.silent, endpoint];
    this.#retry(connection, attempt);
  }

  #rejected(connection: Connection, attempt: Attempt, error: number): void {
    // Without a free local port, the endpoint is not to blame.
    const endpoint = endpointOf(connection.service, attempt);
    if (error !== EADDRNOTAVAIL) {
      this.#picker.failed(connection.service, endpoint, attempt.began, this.#loop.now);
      this.#endpointFailed(connection.service, endpoint, errnoName(error));
    }
    attempt.rejecting = [...attempt.rejecting, endpoint];
    this.#retry(connection, attempt);
  }

  #retry(connection: Connection, attempt: Attempt): void {
    this.#removeDeadline(connection);
    this.#closeEndpoint(connection, closeSocket);
    this.#tryNext(connection, attempt);
  }

  #end(connection: Connection, close: (fd: number) => void): void {
    if (connection.isClosed) return;
    connection.isClosed = true;
    this.#removeDeadline(connection);
    countBytes(connection);
    const { service, client, toEndpoint, toClient } = connection;
    service.open--;
    this.#transfer.release(toEndpoint);
    this.#transfer.release(toClient);
    this.#loop.forget(client);
    close(client);
    this.#closeEndpoint(connection, close);
    this.#connections.delete(connection);
    this.#transfer.isCrowded = this.#connections.size > CROWDED;
  }

  #closeEndpoint(connection: Connection, close: (fd: number) => void): void {
    if (connection.endpoint < 0) return;
    this.#loop.forget(connection.endpoint);
    close(connection.endpoint);
    connection.endpoint = -1;
  }

  #removeDeadline(connection: Connection): void {
    // Any of the lists removes from the one that it is in.
    this.#attempts[0]?.remove(connection);
  }
}

/** Returns the endpoint that is being tried, packed. */
function endpointOf({ spec }: Service, { endpoints, offset }: Attempt): string {
  return endpointAt(endpoints, offset, PACKED_BYTES[spec.family]);
}

function countBytes({ service, toEndpoint, toClient }: Connection): void {
  service.bytesToEndpoints += toEndpoint.moved;
  service.bytesToClients += toClient.moved;
  toEndpoint.moved = 0;
  toClient.moved = 0;
}
