import { CLONE_NEWNET, libc, O_CLOEXEC, O_RDONLY } from "./libc.ts";
import { cString } from "./memory.ts";

/** Where network namespaces can be entered: one path each, as far as this process may see them. */
export function networkNamespaces(): readonly string[] {
  const paths = new Map<string, string>();
  for (const path of candidates()) {
    const identity = identityOf(path);
    if (identity !== undefined && !paths.has(identity)) paths.set(identity, path);
  }
  return [...paths.values()];
}

/**
 * Does something in another network namespace. A namespace belongs to a thread, so the work is done before this
 * returns, on the thread it was called on, and nothing else runs there meanwhile.
 * @returns undefined when there is no such namespace any more, or it may not be entered.
 */
export function inNetworkNamespace<Result>(path: string, work: () => Result): Result | undefined {
  const home = libc().open(cString("/proc/thread-self/ns/net"), O_RDONLY | O_CLOEXEC);
  if (home < 0) return undefined;
  const away = libc().open(cString(path), O_RDONLY | O_CLOEXEC);
  try {
    if (away < 0 || libc().setns(away, CLONE_NEWNET) < 0) return undefined;
    try {
      return work();
    } finally {
      goHome(home, path);
    }
  } finally {
    libc().close(home);
    if (away >= 0) libc().close(away);
  }
}

/** @throws because whatever this process did next it would do in a foreign namespace. */
function goHome(home: number, from: string): void {
  if (libc().setns(home, CLONE_NEWNET) < 0) {
    throw new Error(`there is no way back from network namespace ${from}`);
  }
}

/** Those that are mounted, as container runtimes leave them, and those of processes. */
function* candidates(): Generator<string> {
  yield "/proc/self/ns/net";
  for (const name of namesIn("/run/netns")) yield `/run/netns/${name}`;
  for (const name of namesIn("/proc")) if (/^\d+$/.test(name)) yield `/proc/${name}/ns/net`;
}

function namesIn(directory: string): readonly string[] {
  try {
    return [...Deno.readDirSync(directory)].map(({ name }) => name);
  } catch {
    return [];
  }
}

/** Undefined when it is gone, not ours to see, or no namespace: a mount point that lost its mount, for example. */
function identityOf(path: string): string | undefined {
  try {
    const { dev, ino } = Deno.statSync(path);
    return `${dev}:${ino}`;
  } catch {
    return undefined;
  }
}
