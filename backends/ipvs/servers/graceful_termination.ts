import type { Assignment, ServerDifference } from "./diff.ts";
import { skipsResting } from "./schedulers.ts";
import { realServerKey, virtualServerKey } from "./virtual_server.ts";

/** A real server that is to go, and still has connections. */
export interface Draining extends Assignment {
  /** When it goes in any case, by the clock of who asked. */
  readonly deadlineMs: number;
}

/**
 * Removed real servers of TCP get no new connections (weight 0), but keep those they have until they end or a time has
 * passed. Those of UDP and SCTP go at once: their clients would never notice, and go on sending to what is no more. So
 * do all under a scheduler that goes on choosing them, for then IPVS refuses its clients.
 */
export class GracefulRemoval {
  readonly #longestMs: number;
  /** By virtual server, then by real server. */
  readonly #draining = new Map<string, Map<string, Draining>>();

  /** @param longestMs from the removal on. */
  constructor(longestMs: number) {
    this.#longestMs = longestMs;
  }

  /**
   * What to do in place of a difference: who is removed is drained, and who comes back while it is drained gets its
   * weight back, which may be 0, with the connections it has. Real servers of a virtual server that goes are gone with it.
   * @param nowMs of any clock that never goes back.
   */
  instead(difference: ServerDifference, nowMs: number): ServerDifference {
    const { added, changed, removed } = difference.realServers;
    for (const server of difference.removed) this.#draining.delete(virtualServerKey(server));
    const [returning, coming] = partition(added, (assignment) => this.done(assignment));
    const [leaving, going] = partition(removed, ({ server }) => {
      return server.protocol === "TCP" && skipsResting(server.scheduler);
    });
    for (const assignment of leaving) this.#drain(assignment, nowMs);
    const busy = leaving.filter(({ realServer }) => realServer.weight > 0);
    return {
      ...difference,
      realServers: {
        added: coming,
        changed: [...changed, ...returning, ...busy.map(quiesced)],
        removed: going,
      },
    };
  }

  /** The same for a difference from what the kernel has: who is not removed by it is wanted, and drains no more. */
  insteadOfFound(difference: ServerDifference, nowMs: number): ServerDifference {
    if (this.#draining.size > 0) {
      const unwanted = new Set(difference.realServers.removed.map(assignmentKey));
      for (const draining of [...this]) if (!unwanted.has(assignmentKey(draining))) this.done(draining);
    }
    return this.instead(difference, nowMs);
  }

  /**
   * Those to remove now; `done` is to be told.
   * @param connections how many the kernel counts, active and inactive; 0 when it does not have the real server.
   */
  drained(connections: (draining: Draining) => number, nowMs: number): readonly Draining[] {
    return [...this].filter((draining) => draining.deadlineMs <= nowMs || connections(draining) === 0);
  }

  /**
   * The real server is removed, or wanted again.
   * @returns whether it was draining.
   */
  done({ server, realServer }: Assignment): boolean {
    // As a rule; keys are not worth their making for a whole cluster then.
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

  /** A removal that is repeated does not begin anew. */
  #drain(assignment: Assignment, nowMs: number): void {
    const { server, realServer } = quiesced(assignment);
    const [serverKey, key] = [virtualServerKey(server), realServerKey(realServer)];
    const ofServer = this.#draining.get(serverKey) ?? new Map<string, Draining>();
    if (ofServer.has(key)) return;
    this.#draining.set(serverKey, ofServer);
    ofServer.set(key, { server, realServer, deadlineMs: nowMs + this.#longestMs });
  }
}

function assignmentKey({ server, realServer }: Assignment): string {
  return virtualServerKey(server) + realServerKey(realServer);
}

function quiesced({ server, realServer }: Assignment): Assignment {
  return { server, realServer: { ...realServer, weight: 0 } };
}

function partition<Thing>(
  things: readonly Thing[],
  belongs: (thing: Thing) => boolean,
): [those: Thing[], others: Thing[]] {
  const those: Thing[] = [];
  const others: Thing[] = [];
  for (const thing of things) (belongs(thing) ? those : others).push(thing);
  return [those, others];
}
