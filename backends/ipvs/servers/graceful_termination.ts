import type { Assignment, ServerDifference } from "./diff.ts";
import { skipsWeightZero } from "./schedulers.ts";
import { realServerKey, virtualServerKey } from "./virtual_server.ts";

/** A removed real server that keeps its connections. */
export interface Draining extends Assignment {
  /** Removed at this time at the latest, by the clock of the caller. */
  readonly deadlineMs: number;
}

/**
 * Removed TCP servers get weight 0 and are deleted when their last connection has ended, or after a maximum
 * time. UDP and SCTP servers are removed immediately: their clients get no signal and would keep sending to a
 * dead endpoint. So are all servers under a scheduler that still picks weight 0 (dh): IPVS would reject those
 * clients.
 */
export class GracefulTermination {
  readonly #maxMs: number;
  /** Draining servers by virtual server, then by real server. */
  readonly #draining = new Map<string, Map<string, Draining>>();

  /** @param maxMs maximum time from the removal to the deletion. */
  constructor(maxMs: number) {
    this.#maxMs = maxMs;
  }

  /**
   * Returns the difference to perform in place of `difference`. A real server to remove starts to drain. A
   * draining one that is added again gets its planned weight, which may be 0, and keeps its connections. The
   * real servers of a removed virtual server are removed with it.
   * @param nowMs of any monotonic clock.
   */
  deferRemovals(difference: ServerDifference, nowMs: number): ServerDifference {
    const { added, changed, removed } = difference.realServers;
    for (const server of difference.removed) this.#draining.delete(virtualServerKey(server));
    const [returning, fresh] = partition(added, (assignment) => this.stopDraining(assignment));
    const [leaving, removedNow] = partition(removed, ({ server }) => {
      return server.protocol === "TCP" && skipsWeightZero(server.scheduler);
    });
    for (const assignment of leaving) this.#drain(assignment, nowMs);
    const weighted = leaving.filter(({ realServer }) => realServer.weight > 0);
    return {
      ...difference,
      realServers: {
        added: fresh,
        changed: [...changed, ...returning, ...weighted.map(withWeightZero)],
        removed: removedNow,
      },
    };
  }

  /**
   * Defers the removals of a difference from what the kernel holds. A draining server that it does not remove
   * is desired again, and drains no more.
   */
  deferRemovalsFromKernel(difference: ServerDifference, nowMs: number): ServerDifference {
    if (this.#draining.size > 0) {
      const removed = new Set(difference.realServers.removed.map(assignmentKey));
      for (const draining of [...this]) {
        if (!removed.has(assignmentKey(draining))) this.stopDraining(draining);
      }
    }
    return this.deferRemovals(difference, nowMs);
  }

  /**
   * The real servers to delete now. Each stays until `stopDraining` is called for it.
   * @param connections returns the kernel's count, active and inactive; 0 if the kernel lacks the real
   * server.
   */
  drained(connections: (draining: Draining) => number, nowMs: number): readonly Draining[] {
    return [...this].filter((draining) => draining.deadlineMs <= nowMs || connections(draining) === 0);
  }

  /**
   * To be called when the real server is deleted, or desired again.
   * @returns whether it was draining.
   */
  stopDraining({ server, realServer }: Assignment): boolean {
    // The common case: making keys for a whole cluster would be expensive.
    if (this.#draining.size === 0) return false;
    const key = virtualServerKey(server);
    const ofServer = this.#draining.get(key);
    const wasDraining = ofServer?.delete(realServerKey(realServer)) ?? false;
    if (ofServer?.size === 0) this.#draining.delete(key);
    return wasDraining;
  }

  *[Symbol.iterator](): Generator<Draining> {
    for (const ofServer of this.#draining.values()) yield* ofServer.values();
  }

  /** A repeated removal keeps the deadline. */
  #drain(assignment: Assignment, nowMs: number): void {
    const { server, realServer } = withWeightZero(assignment);
    const [serverKey, key] = [virtualServerKey(server), realServerKey(realServer)];
    const ofServer = this.#draining.get(serverKey) ?? new Map<string, Draining>();
    if (ofServer.has(key)) return;
    this.#draining.set(serverKey, ofServer);
    ofServer.set(key, { server, realServer, deadlineMs: nowMs + this.#maxMs });
  }
}

function assignmentKey({ server, realServer }: Assignment): string {
  return virtualServerKey(server) + realServerKey(realServer);
}

function withWeightZero({ server, realServer }: Assignment): Assignment {
  return { server, realServer: { ...realServer, weight: 0 } };
}

function partition<Item>(
  items: readonly Item[],
  matches: (item: Item) => boolean,
): [matching: Item[], others: Item[]] {
  const matching: Item[] = [];
  const others: Item[] = [];
  for (const item of items) (matches(item) ? matching : others).push(item);
  return [matching, others];
}
