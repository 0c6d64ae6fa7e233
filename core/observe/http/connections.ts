import { shutDown, type SocketEnd } from "../../../ffi/socket/shutdown.ts";
import { parseAddress } from "../../net/address.ts";
import type { Log } from "../log.ts";

export interface ConnectionLimits {
  /** Most connections at a time; by default 128, or an eighth of the file descriptors if that is less. */
  readonly count: number;
  /** Time from a connection, or from the first byte of a later request, to the end of the request's head. */
  readonly headMs: number;
  /** Time between two requests. Prometheus scrapes once a minute or more often. */
  readonly idleMs: number;
  /** Time to make an answer and to send it. */
  readonly answerMs: number;
  /** Time that a client has to notice the end of the connection while it is still sending. */
  readonly closingMs: number;
}

const MAX_COUNT = 128;

const DEFAULT_LIMITS = {
  headMs: 10_000,
  idleMs: 120_000,
  answerMs: 30_000,
  closingMs: 1_000,
};

/** Activities of a connection; each has a deadline. */
export type Phase = "head" | "idle" | "answer" | "closing";

/** Interval of looking for connections past their deadline. */
const SWEEP_MS = 500;
/** Minimum time between two warnings about too many connections. */
const WARNING_SPACING_MS = 600_000;

/**
 * Budget of connections that several listeners may share. A connection that comes when the budget is used up
 * is never refused, because it may be the kubelet's: the one that has waited longest for its client is closed
 * instead. Every connection has a deadline for what it does.
 */
export class Connections {
  readonly #limits: ConnectionLimits;
  readonly #name: string;
  readonly #log: Log;
  /** In the order in which they entered their phase. */
  readonly #open = new Set<Connection>();
  #sweep: number | undefined;
  #warnedAt = -Infinity;

  /** @param name whose connections these are, for messages: "healthz". */
  constructor(name: string, log: Log, limits: Partial<ConnectionLimits> = {}) {
    this.#name = name;
    this.#log = log;
    this.#limits = { count: defaultCount(), ...DEFAULT_LIMITS, ...limits };
  }

  get size(): number {
    return this.#open.size;
  }

  /** Takes a new connection into the budget, when there is room. */
  async admit(socket: Deno.TcpConn): Promise<Connection> {
    if (this.#open.size >= this.#limits.count) await this.#makeRoom();
    const connection = new Connection(socket, (phase) => this.#entered(connection, phase));
    connection.enter("head");
    return connection;
  }

  /** Closes the connections that wait for their client, so that others get their file descriptors. */
  closeWaiting(): void {
    for (const connection of this.#open) {
      if (connection.phase !== "answer") connection.close();
    }
  }

  async #makeRoom(): Promise<void> {
    const waiting = this.#open.values().find(({ phase }) => phase !== "answer");
    const oldest = waiting ?? this.#open.values().next().value;
    oldest?.close();
    this.#warn();
    // Its file descriptor is in use until then. Whether an answer is ever made is up to its route.
    await waiting?.ended;
  }

  #warn(): void {
    const now = performance.now();
    if (now - this.#warnedAt < WARNING_SPACING_MS) return;
    this.#warnedAt = now;
    this.#log.warn(
      "Too many clients are connected; the connections that have waited longest for a request are closed",
      { server: this.#name, limit: this.#limits.count },
    );
  }

  #entered(connection: Connection, phase: Phase | "closed"): void {
    this.#open.delete(connection);
    if (phase !== "closed") {
      connection.deadlineMs = performance.now() + this.#limits[`${phase}Ms`];
      this.#open.add(connection);
    }
    if (this.#open.size > 0) this.#sweep ??= setInterval(() => this.#closeLate(), SWEEP_MS);
    else {
      clearInterval(this.#sweep);
      this.#sweep = undefined;
    }
  }

  #closeLate(): void {
    const now = performance.now();
    for (const connection of this.#open) {
      if (connection.deadlineMs <= now) connection.close();
    }
  }
}

/** One connection of the budget. */
export class Connection {
  readonly socket: Deno.TcpConn;
  /** Time to be closed, in milliseconds of performance.now(). */
  deadlineMs = Infinity;
  readonly #ended = Promise.withResolvers<void>();
  readonly #onPhase: (phase: Phase | "closed") => void;
  #phase: Phase | "closed" = "head";
  #isWriting = false;

  constructor(socket: Deno.TcpConn, onPhase: (phase: Phase | "closed") => void) {
    this.socket = socket;
    this.#onPhase = onPhase;
  }

  /** Resolves when nothing uses the socket any more. */
  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  get phase(): Phase | "closed" {
    return this.#phase;
  }

  enter(phase: Phase): void {
    if (this.#phase === "closed") return;
    this.#phase = phase;
    this.#onPhase(phase);
  }

  async write(bytes: Uint8Array): Promise<void> {
    this.#isWriting = true;
    for (let at = 0; at < bytes.length;) at += await this.socket.write(bytes.subarray(at));
    this.#isWriting = false;
  }

  /** Closes the socket, which nothing uses any more. */
  end(): void {
    this.close();
    this.#ended.resolve();
  }

  /** Ends pending reads and writes with an error. May be called again. */
  close(): void {
    if (this.#phase === "closed") return;
    // Deno closes a socket only after its pending write, for which the client may let it wait for ever.
    if (this.#isWriting) shutDown(endOf(this.socket.localAddr), endOf(this.socket.remoteAddr));
    this.#phase = "closed";
    this.#onPhase("closed");
    this.socket.close();
  }
}

/** There are three budgets: health, metrics and health-check node ports. */
function defaultCount(): number {
  const limits = Deno.readTextFileSync("/proc/self/limits");
  const files = Number(/^Max open files +(\d+)/m.exec(limits)?.[1] ?? Infinity);
  return Math.max(4, Math.min(MAX_COUNT, Math.floor(files / 8)));
}

function endOf({ hostname, port }: Deno.NetAddr): SocketEnd {
  return { address: Uint8Array.from(parseAddress(hostname) ?? "", (byte) => byte.charCodeAt(0)), port };
}
