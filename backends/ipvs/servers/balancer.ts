import { yieldToEventLoop } from "../../../core/async/yield.ts";
import type { Family } from "../../../core/net/protocol.ts";
import { errnoOf } from "../../../ffi/errno.ts";
import type { OpenNetlink } from "../../../ffi/netlink/transport.ts";
import type { IpvsOptions } from "../options.ts";
import { IpvsConnection, type RejectedCommand } from "../protocol/connection.ts";
import type { IpvsCommand } from "../protocol/encode.ts";
import type { ActualServer, ServerDifference } from "./diff.ts";
import { GracefulTermination } from "./graceful_termination.ts";
import { tryScheduler } from "./schedulers.ts";
import {
  type KernelVirtualServer,
  realServerKey,
  type VirtualServerId,
  virtualServerKey,
} from "./virtual_server.ts";

/** Maximum time from the removal of a real server until it goes together with its remaining connections. */
const MAX_DRAIN_MS = 15 * 60_000;

/** Virtual servers whose real servers are read before other work may run. */
const READ_PORTION = 64;

/** The result of independent commands. */
export interface Outcome {
  readonly rejected: readonly RejectedCommand[];
  /**
   * Commands that found another state than the one last programmed. A fallback command has reached the end
   * state.
   */
  readonly drift: readonly string[];
}

/**
 * IPVS in this network namespace. Commands have fallbacks, so that they can be repeated. One call at a time.
 */
export class Balancer implements Disposable {
  readonly #connection: IpvsConnection;
  readonly #termination: GracefulTermination;

  /** @param maxDrainMs the seam for tests. */
  constructor(connection: IpvsConnection, maxDrainMs = MAX_DRAIN_MS) {
    this.#connection = connection;
    this.#termination = new GracefulTermination(maxDrainMs);
  }

  /**
   * @param open see IpvsConnection.open.
   * @throws KernelError when the kernel lacks IPVS.
   */
  static async open(open?: OpenNetlink): Promise<Balancer> {
    return new Balancer(await IpvsConnection.open(open));
  }

  /** A timeout of 0 keeps the kernel's value. */
  async setTimeouts({ tcpTimeoutMs, tcpFinTimeoutMs, udpTimeoutMs }: IpvsOptions): Promise<void> {
    if (tcpTimeoutMs + tcpFinTimeoutMs + udpTimeoutMs === 0) return;
    await this.#connection.setTimeouts({
      tcpSeconds: Math.ceil(tcpTimeoutMs / 1000),
      tcpFinSeconds: Math.ceil(tcpFinTimeoutMs / 1000),
      udpSeconds: Math.ceil(udpTimeoutMs / 1000),
    });
  }

  /** @throws KernelError when the kernel lacks the scheduler: see tryScheduler. */
  async tryScheduler(scheduler: string, families: readonly Family[]): Promise<void> {
    for (const family of families) await tryScheduler(this.#connection, scheduler, family);
  }

  virtualServers(): Promise<KernelVirtualServer[]> {
    return this.#connection.virtualServers();
  }

  /** Reads all virtual servers with their real servers. */
  async read(): Promise<ActualServer[]> {
    return await this.withRealServers(await this.#connection.virtualServers());
  }

  /** Reads the real servers of each virtual server, with one request per virtual server. */
  async withRealServers(servers: readonly KernelVirtualServer[]): Promise<ActualServer[]> {
    const actual: ActualServer[] = [];
    for (const server of servers) {
      if (actual.length % READ_PORTION === READ_PORTION - 1) await yieldToEventLoop();
      actual.push({ ...server, realServers: await this.#connection.realServers(server) });
    }
    return actual;
  }

  /** Replaces the removal of real servers with connections: see GracefulTermination. */
  deferRemovals(difference: ServerDifference): ServerDifference {
    return this.#termination.deferRemovals(difference, performance.now());
  }

  /** Does the same for a difference from what the kernel holds. */
  deferRemovalsFromKernel(difference: ServerDifference): ServerDifference {
    return this.#termination.deferRemovalsFromKernel(difference, performance.now());
  }

  /** Performs the additions and changes of a difference. */
  add(difference: ServerDifference): Promise<Outcome> {
    return this.#perform(additions(difference));
  }

  /** Performs the removals of a difference. */
  remove(difference: ServerDifference): Promise<Outcome> {
    return this.#perform(removals(difference));
  }

  /** Removes virtual servers with their real servers. */
  removeAll(servers: readonly VirtualServerId[]): Promise<Outcome> {
    return this.#perform(servers.map((server) => ({ verb: "remove", server })));
  }

  /** Removes draining real servers whose connections have ended, or whose time is up. */
  async removeDrained(): Promise<void> {
    const servers = new Map([...this.#termination].map(({ server }) => [virtualServerKey(server), server]));
    if (servers.size === 0) return;
    const connections = new Map<string, number>();
    for (const [key, server] of servers) {
      for (const realServer of await this.#connection.realServers(server)) {
        connections.set(key + realServerKey(realServer), realServer.active + realServer.inactive);
      }
    }
    const drained = this.#termination.drained(
      ({ server, realServer }) => connections.get(virtualServerKey(server) + realServerKey(realServer)) ?? 0,
      performance.now(),
    );
    await this.#perform(drained.map((assignment) => ({ verb: "remove real", ...assignment })));
    for (const assignment of drained) this.#termination.stopDraining(assignment);
  }

  [Symbol.dispose](): void {
    this.#connection[Symbol.dispose]();
  }

  async #perform(commands: Iterable<IpvsCommand>): Promise<Outcome> {
    const rejected: RejectedCommand[] = [];
    const fallbacks: IpvsCommand[] = [];
    const drift: string[] = [];
    for (const one of await this.#connection.perform(commands)) {
      const fallback = fallbackFor(one);
      if (fallback === undefined) {
        rejected.push(one);
      } else {
        fallbacks.push(...fallback);
        drift.push(one.error.message);
      }
    }
    if (fallbacks.length > 0) rejected.push(...await this.#connection.perform(fallbacks));
    return { rejected, drift };
  }
}

function* additions({ added, changed, realServers }: ServerDifference): Generator<IpvsCommand> {
  for (const server of added) yield { verb: "add", server };
  for (const server of changed) yield { verb: "change", server };
  for (const assignment of realServers.added) yield { verb: "add real", ...assignment };
  for (const assignment of realServers.changed) yield { verb: "change real", ...assignment };
}

function* removals({ removed, realServers }: ServerDifference): Generator<IpvsCommand> {
  for (const assignment of realServers.removed) yield { verb: "remove real", ...assignment };
  for (const server of removed) yield { verb: "remove", server };
}

/**
 * Commands for the same end state when the object unexpectedly exists (EEXIST) or is missing.
 * @returns undefined if there is no fallback.
 */
function fallbackFor({ command, error: { errno } }: RejectedCommand): readonly IpvsCommand[] | undefined {
  const exists = errno === errnoOf("EEXIST");
  // The kernel looks up the virtual server (ESRCH), then the real server (ENOENT).
  const lacksServer = errno === errnoOf("ESRCH");
  const lacksRealServer = errno === errnoOf("ENOENT");
  switch (command.verb) {
    case "add":
      return exists ? [{ ...command, verb: "change" }] : undefined;
    case "change":
      return lacksServer ? [{ ...command, verb: "add" }] : undefined;
    case "add real":
      return exists ? [{ ...command, verb: "change real" }] : undefined;
    case "change real":
      return lacksRealServer ? [{ ...command, verb: "add real" }] : undefined;
    case "remove":
      return lacksServer ? [] : undefined;
    case "remove real":
      return lacksServer || lacksRealServer ? [] : undefined;
  }
}
