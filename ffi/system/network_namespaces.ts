import { openFile } from "../files/file_descriptor.ts";
import { AF_INET } from "../inet.ts";
import {
  CLONE_NEWNET,
  libc,
  SO_NETNS_COOKIE,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOL_SOCKET,
} from "../libraries/libc.ts";

/** Lists the network namespaces that this process can see: one path for each. */
export function networkNamespaces(): readonly string[] {
  const paths = new Map<string, string>();
  for (const path of candidates()) {
    const identity = identityOf(path);
    if (identity !== undefined && !paths.has(identity)) paths.set(identity, path);
  }
  return [...paths.values()];
}

/** The result of work in a network namespace, or the reason why it was not done. */
export type Visit<Result> =
  | { readonly result: Result }
  /** "denied": this process may not enter it, which takes CAP_SYS_ADMIN. */
  | { readonly refused: "gone" | "denied" };

/**
 * Calls `work` in a network namespace, which takes no privilege if it is that of this process. A namespace belongs to a
 * thread: `work` runs on the calling thread and must be synchronous, so that nothing else runs there meanwhile.
 */
export function inNetworkNamespace<Result>(path: string, work: () => Result): Visit<Result> {
  const identity = identityOf(path);
  if (identity === undefined) return { refused: "gone" };
  if (identity === identityOf(OWN_NAMESPACE)) return { result: work() };
  using home = openFile(OWN_NAMESPACE);
  using away = openFile(path);
  if (home === undefined || away === undefined) return { refused: "gone" };
  if (libc().setns(away.fd, CLONE_NEWNET) < 0) {
    return { refused: identityOf(path) === identity ? "denied" : "gone" };
  }
  try {
    return { result: work() };
  } finally {
    returnTo(home.fd, path);
  }
}

/** Reports whether this process may enter other network namespaces, by entering its own, which takes the same. */
export function mayEnterNetworkNamespaces(): boolean {
  using own = openFile(OWN_NAMESPACE);
  return own !== undefined && libc().setns(own.fd, CLONE_NEWNET) >= 0;
}

/** A namespace belongs to a thread. */
const OWN_NAMESPACE = "/proc/thread-self/ns/net";

/** @throws because everything that this process does next would happen in the wrong namespace. */
function returnTo(home: number, from: string): void {
  if (libc().setns(home, CLONE_NEWNET) < 0) {
    throw new Error(`cannot return from network namespace ${from}`);
  }
}

/** The kernel's number for the network namespace of this process. It is never reused for another namespace. */
export function namespaceCookie(): bigint {
  const fd = libc().socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) throw new Error("cannot open a socket");
  try {
    const cookie = new BigUint64Array(1);
    const bytes = new Uint8Array(cookie.buffer);
    if (libc().getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, bytes, new Uint32Array([8])) < 0) {
      throw new Error("the kernel does not report the cookie of the network namespace (SO_NETNS_COOKIE)");
    }
    return cookie[0] ?? 0n;
  } finally {
    libc().close(fd);
  }
}

/** Mounted namespaces, as container runtimes leave them, and the namespaces of processes. */
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

/** Undefined if the path is gone, not visible to us, or no namespace: for example a mount point without its mount. */
function identityOf(path: string): string | undefined {
  try {
    const { dev, ino } = Deno.statSync(path);
    return `${dev}:${ino}`;
  } catch {
    return undefined;
  }
}
