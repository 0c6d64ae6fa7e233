import type { Credentials } from "../../ffi/socket/unix/peer_credentials.ts";
import { listenerOf } from "../../ffi/socket/unix/socket.ts";
import { type HolderDescription, MAX_COMMAND_LINE } from "./namespace_lock.ts";
import { hasNetAdmin } from "./process_privileges.ts";

/** The process that has the lock of a network namespace, seen by another process. */
export interface LockHolder extends Disposable {
  readonly credentials: Credentials;
  /** Its command line in /proc, or else in its own words; "" if neither is known. */
  readonly commandLine: string;
  /** The holder's own words, for messages only; undefined if it gave no valid answer. */
  readonly description: HolderDescription | undefined;
  /** True if the process may program the kernel, so that it can be a proxy. */
  readonly isPrivileged: boolean;
  /** Resolves when the holder closes the connection, which it does at the latest when it ends. */
  readonly ended: Promise<void>;
}

/** A holder answers within some milliseconds, unless a call into the kernel keeps it busy. */
const ANSWER_MS = 2000;
const MAX_ANSWER_BYTES = 8192;

/**
 * Finds out which process has the lock.
 * @param name of the socket, without the leading NUL.
 * @returns undefined if nobody accepts the connection: the process has just ended, or it bound the name without
 * listening or accepting.
 */
export async function findHolder(name: string): Promise<LockHolder | undefined> {
  let connection: Deno.UnixConn;
  try {
    connection = await Deno.connect({ transport: "unix", path: `\0${name}` });
  } catch {
    return undefined;
  }
  const conversation = new Conversation(connection);
  const answer = await conversation.answer;
  const credentials = listenerOf(name);
  if (credentials === undefined || (conversation.hasEnded && answer === undefined)) {
    connection.close();
    return undefined;
  }
  const description = answer === undefined ? undefined : parseDescription(answer);
  return {
    credentials,
    commandLine: commandLineOf(credentials.pid) ?? description?.commandLine ?? "",
    description,
    isPrivileged: isPrivileged(credentials),
    ended: conversation.ended,
    [Symbol.dispose]: () => connection.close(),
  };
}

/** PID of the proxy that has the lock; undefined if it is not visible, or if the holder can be no proxy. */
export function proxyPidOf(holder: LockHolder | undefined): number | undefined {
  if (holder === undefined || !holder.isPrivileged || holder.credentials.pid === 0) return undefined;
  return holder.credentials.pid;
}

/** Reads one line, and then waits for the end of the connection. */
class Conversation {
  /** The line; undefined if none comes in time. */
  readonly answer: Promise<string | undefined>;
  readonly ended: Promise<void>;
  hasEnded = false;

  constructor(connection: Deno.UnixConn) {
    const { promise, resolve } = Promise.withResolvers<string | undefined>();
    const timer = setTimeout(() => resolve(undefined), ANSWER_MS);
    this.answer = promise.finally(() => clearTimeout(timer));
    this.ended = this.#read(connection, resolve).then(() => {
      this.hasEnded = true;
      resolve(undefined);
    });
  }

  async #read(connection: Deno.UnixConn, onLine: (line: string) => void): Promise<void> {
    const chunk = new Uint8Array(MAX_ANSWER_BYTES);
    const decoder = new TextDecoder();
    let text = "";
    try {
      for (;;) {
        const count = await connection.read(chunk);
        if (count === null) return;
        // Drop everything after the line, and a line that is too long.
        if (text.includes("\n") || text.length > MAX_ANSWER_BYTES) continue;
        text += decoder.decode(chunk.subarray(0, count), { stream: true });
        const end = text.indexOf("\n");
        if (end >= 0) onLine(text.slice(0, end));
      }
    } catch {
      // Reset by the holder, or closed here.
    }
  }
}

function commandLineOf(pid: number): string | undefined {
  if (pid === 0) return undefined;
  try {
    // NUL ends each argument.
    const text = Deno.readTextFileSync(`/proc/${pid}/cmdline`);
    return text.replace(/\0$/, "").replaceAll("\0", " ").slice(0, MAX_COMMAND_LINE);
  } catch {
    return undefined;
  }
}

/** Without its entry in /proc, a process is judged by its user. */
function isPrivileged({ pid, uid }: Credentials): boolean {
  const known = pid === 0 ? undefined : hasNetAdmin(pid);
  return known ?? (uid === 0 || uid === Deno.uid());
}

function parseDescription(line: string): HolderDescription | undefined {
  try {
    const { pid, mode, since, commandLine }: Partial<Record<keyof HolderDescription, unknown>> = JSON.parse(
      line,
    );
    const isValid = typeof pid === "number" && typeof mode === "string" && typeof since === "string" &&
      typeof commandLine === "string" && !Number.isNaN(Date.parse(since));
    return isValid ? { pid, mode, since, commandLine } : undefined;
  } catch {
    return undefined;
  }
}
