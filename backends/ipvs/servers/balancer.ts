import { yieldToEventLoop } from "../../../core/async/yield.ts";
import type { Family } from "../../../core/net/protocol.ts";
import { errnoOf } from "../../../ffi/errno.ts";
import type { OpenNetlink } from "../../../ffi/netlink/transport.ts";
import type { IpvsOptions } from "../options.ts";
import { IpvsConnection, type RefusedCommand } from "../protocol/connection.ts";
import type { IpvsCommand } from "../protocol/encode.ts";
import type { PresentServer, ServerDifference } from "./diff.ts";
import { GracefulRemoval } from "./graceful_termination.ts";
import { tryScheduler } from "./schedulers.ts";
import {
  type FoundVirtualServer,
  realServerKey,
  type VirtualServerId,
  virtualServerKey,
} from "./virtual_server.ts";

/** After that a removed real server goes with the connections it still has. */
const LONGEST_DRAIN_MS = 15 * 60_000;

/** Virtual servers whose real servers are read before other work has its turn. */
const PORTION = 64;

/** What became of commands that do not hang together. */
export interface Outcome {
  readonly refused: readonly RefusedCommand[];
  /** In words, what was not as we believed; it is now as it should be. */
  readonly astray: readonly string[];
}

/**
 * What IPVS balances in this network namespace. Every command leads to what it says whatever was there, so that it can
 * be repeated. One call at a time.
 */
export class Balancer implements Disposable {
  readonly #connection: IpvsConnection;
  readonly #removal: GracefulRemoval;

  /** @param longestDrainMs other than the usual for tests. */
  constructor(connection: IpvsConnection, longestDrainMs = LONGEST_DRAIN_MS) {
    this.#connection = connection;
    this.#removal = new GracefulRemoval(longestDrainMs);
  }

  /**
   * @param open see IpvsConnection.open.
   * @throws KernelError when the kernel lacks IPVS.
   */
  static async open(open?: OpenNetlink): Promise<Balancer> {
    return new Balancer(await IpvsConnection.open(open));
  }

  /** Those that are 0 stay as they are. */
  async setTimeouts({ tcpTimeoutMs, tcpFinTimeoutMs, udpTimeoutMs }: IpvsOptions): Promise<void> {
    if (tcpTimeoutMs + tcpFinTimeoutMs + udpTimeoutMs === 0) return;
    await this.#connection.setTimeouts({
      tcpSeconds: Math.ceil(tcpTimeoutMs / 1000),
      tcpFinSeconds: Math.ceil(tcpFinTimeoutMs / 1000),
      udpSeconds: Math.ceil(udpTimeoutMs / 1000),
    });
  }

  /** @throws KernelError when the scheduler cannot be had: see tryScheduler. */
  async tryScheduler(scheduler: string, families: readonly Family[]): Promise<void> {
    for (const family of families) await tryScheduler(this.#connection, scheduler, family);
  }

  virtualServers(): Promise<FoundVirtualServer[]> {
    return this.#connection.virtualServers();
  }

  /** All of them with their real servers. */
  async read(): Promise<PresentServer[]> {
    return await this.withRealServers(await this.#connection.virtualServers());
  }

  /** Takes a question each. */
  async withRealServers(servers: readonly FoundVirtualServer[]): Promise<PresentServer[]> {
    const present: PresentServer[] = [];
    for (const server of servers) {
      if (present.length % PORTION === PORTION - 1) await yieldToEventLoop();
      present.push({ ...server, realServers: await this.#connection.realServers(server) });
    }
    return present;
  }

  /** What to do instead of a difference, so that real servers do not go with their connections: see GracefulRemoval. */
  gracefully(difference: ServerDifference): ServerDifference {
    return this.#removal.instead(difference, performance.now());
  }

  /** The same for a difference from what was read. */
  gracefullyFromFound(difference: ServerDifference): ServerDifference {
    return this.#removal.insteadOfFound(difference, performance.now());
  }

  /** What comes and what changes. */
  add(difference: ServerDifference): Promise<Outcome> {
    return this.#perform(additions(difference));
  }

  /** What goes. */
  remove(difference: ServerDifference): Promise<Outcome> {
    return this.#perform(removals(difference));
  }

  /** All of these, with their real servers. */
  removeAll(servers: readonly VirtualServerId[]): Promise<Outcome> {
    return this.#perform(servers.map((server) => ({ verb: "remove", server })));
  }

  /** Removes the real servers whose connections have ended, or have had their time. */
  async removeDrained(): Promise<void> {
    const servers = new Map([...this.#removal].map(({ server }) => [virtualServerKey(server), server]));
    if (servers.size === 0) return;
    const connections = new Map<string, number>();
    for (const [key, server] of servers) {
      for (const found of await this.#connection.realServers(server)) {
        connections.set(key + realServerKey(found), found.active + found.inactive);
      }
    }
    const drained = this.#removal.drained(
      ({ server, realServer }) => connections.get(virtualServerKey(server) + realServerKey(realServer)) ?? 0,
      performance.now(),
    );
    await this.#perform(drained.map((assignment) => ({ verb: "remove real", ...assignment })));
    for (const assignment of drained) this.#removal.done(assignment);
  }

  [Symbol.dispose](): void {
    this.#connection[Symbol.dispose]();
  }

  async #perform(commands: Iterable<IpvsCommand>): Promise<Outcome> {
    const refused: RefusedCommand[] = [];
    const others: IpvsCommand[] = [];
    const astray: string[] = [];
    for (const one of await this.#connection.perform(commands)) {
      const other = otherThan(one);
      if (other === undefined) refused.push(one);
      else {
        others.push(...other);
        astray.push(one.error.message);
      }
    }
    if (others.length > 0) refused.push(...await this.#connection.perform(others));
    return { refused, astray };
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
 * What leads to the same when something is there that was not expected, or not there.
 * @returns undefined when nothing does.
 */
function otherThan({ command, error: { errno } }: RefusedCommand): readonly IpvsCommand[] | undefined {
  const isThere = errno === errnoOf("EEXIST");
  // The kernel looks for the virtual server (ESRCH), then for the real server (ENOENT).
  const lacksServer = errno === errnoOf("ESRCH");
  const lacksRealServer = errno === errnoOf("ENOENT");
  switch (command.verb) {
    case "add":
      return isThere ? [{ ...command, verb: "change" }] : undefined;
    case "change":
      return lacksServer ? [{ ...command, verb: "add" }] : undefined;
    case "add real":
      return isThere ? [{ ...command, verb: "change real" }] : undefined;
    case "change real":
      return lacksRealServer ? [{ ...command, verb: "add real" }] : undefined;
    case "remove":
      return lacksServer ? [] : undefined;
    case "remove real":
      return lacksServer || lacksRealServer ? [] : undefined;
  }
}
