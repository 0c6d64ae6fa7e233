import type { Backend } from "../../backend/contract.ts";
import type { Log } from "../../observe/log.ts";
import type { Lock } from "./ownership.ts";

/**
 * Lets connections finish that end with this process, for the time that the mode allows. Gives the lock back at the
 * beginning, so that the next process can take over meanwhile.
 */
export async function drainConnections(backend: Backend, lock: Lock, log: Log): Promise<void> {
  if (backend.drain === undefined) return;
  const { ended } = await backend.drain(lock.isAwaited);
  lock[Symbol.dispose]();
  log.info("Stopping when the connections through this process have ended", { isAwaited: lock.isAwaited });
  const connections = await ended;
  if (connections > 0) {
    log.warn("Connections were reset, because they had not ended in time", { connections });
  }
}
