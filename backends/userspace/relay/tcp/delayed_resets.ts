import { unacknowledgedBytes } from "../../../../ffi/socket/options.ts";
import type { Timer } from "../event_loop.ts";
import { ExpiryList } from "../expiry_list.ts";
import type { Connection } from "./connection.ts";

/** Time without progress after which a side that does not take its last bytes is reset. */
const STALL_MS = 5000;
/** Time between looks at the send buffers, because no event tells that one is empty. */
const CHECK_MS = 20;
/** With many connections, looking takes at most a tenth of the time. */
const PAUSE_FACTOR = 9;

/**
 * Connections one side of which has failed, until the other side has acknowledged what the failed side has sent. A reset
 * drops the send buffer of its socket, and so would take bytes from a client that had received them on a direct
 * connection.
 */
export class DelayedResets implements Timer {
  readonly #waiting = new ExpiryList<Connection>(STALL_MS);
  readonly #reset: (connection: Connection) => void;
  readonly #clock: () => number;
  #nextCheck = 0;

  /** @param clock the seam for tests. */
  constructor(reset: (connection: Connection) => void, clock = () => performance.now()) {
    this.#reset = reset;
    this.#clock = clock;
  }

  get nextDeadline(): number {
    return this.#waiting.first === undefined ? Infinity : this.#nextCheck;
  }

  /**
   * Resets a connection at once if nothing is outstanding, and otherwise later.
   * @param hasMoved bytes were moved since the last call.
   */
  request(connection: Connection, hasMoved: boolean, now: number): void {
    const bytes = unacknowledgedBytes(connection.survivor);
    if (connection.isRestMoved && bytes === 0) return this.#reset(connection);
    if (this.#waiting.first === undefined) this.#nextCheck = now + CHECK_MS;
    connection.unacknowledged = bytes;
    const isWaiting = connection.next !== undefined;
    if (hasMoved || !isWaiting) this.#waiting.renew(connection, now);
  }

  expire(now: number): void {
    const start = this.#clock();
    for (const connection of this.#waiting.all()) {
      const bytes = unacknowledgedBytes(connection.survivor);
      const isTaken = connection.isRestMoved && bytes === 0;
      const hasProgress = bytes < connection.unacknowledged;
      connection.unacknowledged = bytes;
      if (isTaken || (!hasProgress && connection.deadline <= now)) this.#reset(connection);
      else if (hasProgress) this.#waiting.renew(connection, now);
    }
    const end = this.#clock();
    this.#nextCheck = end + Math.max(CHECK_MS, PAUSE_FACTOR * (end - start));
  }
}
