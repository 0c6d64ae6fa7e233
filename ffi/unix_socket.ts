import { AF_UNIX, libc, SO_PEERCRED, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_STREAM, SOL_SOCKET } from "./libc.ts";

/** A process as the kernel recorded it when the process began to listen. */
export interface Credentials {
  /** 0 if the process is in a PID namespace that this process cannot see. */
  readonly pid: number;
  readonly uid: number;
}

/**
 * Asks the kernel which process listens on an abstract Unix socket of this network namespace.
 * @param name without the leading NUL.
 * @returns undefined if no process does, or if it leaves too many connections waiting.
 */
export function listenerOf(name: string): Credentials | undefined {
  const fd = libc().socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return undefined;
  try {
    const address = abstractAddress(name);
    if (libc().connect(fd, address, address.length) < 0) return undefined;
    // struct ucred { pid_t pid; uid_t uid; gid_t gid; }, 32 bits each
    const credentials = new Uint32Array(3);
    const length = new Uint32Array([credentials.byteLength]);
    if (libc().getsockopt(fd, SOL_SOCKET, SO_PEERCRED, credentials, length) < 0) return undefined;
    const [pid = 0, uid = 0] = credentials;
    return { pid, uid };
  } finally {
    libc().close(fd);
  }
}

/** struct sockaddr_un { sa_family_t sun_family; char sun_path[108]; }: an abstract name begins with NUL. */
function abstractAddress(name: string): Uint8Array<ArrayBuffer> {
  const path = new TextEncoder().encode(`\0${name}`);
  const address = new Uint8Array(2 + path.length);
  new DataView(address.buffer).setUint16(0, AF_UNIX, true);
  address.set(path, 2);
  return address;
}
