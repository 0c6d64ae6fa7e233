import { delay } from "../../async/wakeup.ts";
import { findHolder, type LockHolder } from "../../node/lock_holder.ts";
import { MAX_COMMAND_LINE, NamespaceLock } from "../../node/namespace_lock.ts";
import type { Fields, Log } from "../../observe/log.ts";
import { UserError } from "../../user_error.ts";

/** Name of the socket, without the leading NUL. ss and /proc/net/unix show it as `@proxy/lock`. */
export const LOCK_NAME = "proxy/lock";

/** The lock of a network namespace. Disposal gives it back; a second one does nothing. */
export interface Lock extends Disposable {
  /** True while another process waits for it. */
  readonly isAwaited: boolean;
}

export interface LockRequest {
  readonly name: string;
  /** Value of --proxy-mode; "" for cleanup. */
  readonly mode: string;
  /** Maximum time to wait for the end of another proxy; 0 to fail at once. */
  readonly waitMs: number;
  /** Follows the description of the holder in the error: what to do. */
  readonly advice: string;
}

/** Time for a holder that is just ending, as after `kill PID; proxy`. */
const ENDING_MS = 1000;
/** Delay before asking the same holder again: it closed the connection, but has not ended. */
const ASK_AGAIN_MS = 500;
/** Attempts to find a holder. One that is never found has not just ended. */
const MAX_SEARCHES = 100;
const SEARCH_AGAIN_MS = 10;

/**
 * Makes this process the only one that programs the kernel in its network namespace. Two proxies would undo each
 * other's changes for ever.
 *
 * A process without CAP_NET_ADMIN can take the name, too. It can be no proxy, and must not keep the node from being
 * served: then the log has a warning, and this process continues without the lock. It does the same where a security
 * module forbids the lock.
 * @param find the seam for tests.
 * @returns undefined if the signal aborts.
 * @throws UserError when another proxy has the lock for longer than the request allows to wait.
 */
export async function takeLock(
  request: LockRequest,
  log: Log,
  signal: AbortSignal,
  find: typeof findHolder = findHolder,
): Promise<Lock | undefined> {
  const started = performance.now();
  const { name, mode, waitMs, advice } = request;
  const deadline = started + Math.max(waitMs, ENDING_MS);
  const self = {
    pid: Deno.pid,
    mode,
    since: new Date().toISOString(),
    commandLine: ["proxy", ...Deno.args].join(" ").slice(0, MAX_COMMAND_LINE),
  };
  let waitsFor: string | undefined;
  let searches = 0;
  while (!signal.aborted) {
    let lock: NamespaceLock | undefined;
    try {
      lock = NamespaceLock.take(name, self);
    } catch (error) {
      // For example a security module that forbids abstract sockets.
      return withoutLock("The lock of this network namespace cannot be taken", {
        socket: `@${name}`,
        err: error,
      }, log);
    }
    if (lock !== undefined) {
      if (waitsFor !== undefined) {
        log.info("The other proxy has ended", { waitedSeconds: secondsSince(started) });
      }
      return lock;
    }
    using holder = await find(name);
    if (holder === undefined && ++searches < MAX_SEARCHES) {
      await delay(SEARCH_AGAIN_MS, signal);
      continue;
    }
    if (holder === undefined) {
      const problem = "The process that holds the lock of this network namespace cannot be asked";
      return withoutLock(problem, { socket: `@${name}` }, log);
    }
    if (!holder.isPrivileged) {
      const problem = "A process that is no proxy holds the lock of this network namespace";
      return withoutLock(problem, { socket: `@${name}`, ...strangerFields(holder) }, log);
    }
    const who = describeHolder(holder);
    const remaining = deadline - performance.now();
    if (remaining <= 0) {
      const waited = waitMs > 0 ? ` (waited ${secondsSince(started)} s for its end)` : "";
      throw new UserError(`another proxy programs this network namespace: ${who}${waited}. ${advice}`);
    }
    if (who === waitsFor) await delay(ASK_AGAIN_MS, signal);
    else if (waitMs > 0) {
      log.info("Another proxy programs this network namespace; waiting until it ends", proxyFields(holder));
    }
    waitsFor = who;
    const turn = new AbortController();
    await Promise.race([holder.ended, delay(remaining, AbortSignal.any([signal, turn.signal]))]);
    turn.abort();
    searches = 0;
  }
  return undefined;
}

function withoutLock(problem: string, fields: Fields, log: Log): Lock {
  log.warn(`${problem}; continuing without the lock, so that a second proxy would not be noticed`, fields);
  return { isAwaited: false, [Symbol.dispose]() {} };
}

function secondsSince(started: number): number {
  return Number(((performance.now() - started) / 1000).toFixed(3));
}

/** A process in another PID namespace has the number that it has there. */
function proxyFields({ credentials, commandLine, description }: LockHolder): Fields {
  const { pid } = credentials;
  return {
    ...(pid > 0 ? { pid } : description === undefined ? {} : { pidInItsNamespace: description.pid }),
    ...(description === undefined ? {} : { mode: description.mode || "cleanup", since: description.since }),
    commandLine,
  };
}

function strangerFields({ credentials, commandLine }: LockHolder): Fields {
  return { ...credentials, commandLine };
}

/** Describes the process that has the lock. The text that it gave is quoted. */
export function describeHolder(holder: LockHolder): string {
  return Object.entries(proxyFields(holder)).map(([name, value]) => `${name} ${JSON.stringify(value)}`).join(
    ", ",
  );
}
