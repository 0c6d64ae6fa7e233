import { errnoOf } from "./errno.ts";
import { KernelError } from "./errors.ts";
import { libc, SO_NETNS_COOKIE, SOCK_CLOEXEC, SOCK_DGRAM, SOL_SOCKET } from "./libc.ts";
import { AF_INET } from "./inet.ts";

/** The kernel's number for the network namespace of this process, never given to another one. */
export function namespaceCookie(): bigint {
  const fd = libc().socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) throw new KernelError("open a UDP socket", errnoOf("EMFILE"));
  try {
    const cookie = new BigUint64Array(1);
    const result = libc().getsockopt(
      fd,
      SOL_SOCKET,
      SO_NETNS_COOKIE,
      new Uint8Array(cookie.buffer),
      new Uint32Array([8]),
    );
    if (result < 0) {
      const extack = "SO_NETNS_COOKIE needs Linux 5.14 or later";
      throw new KernelError("read the cookie of the network namespace", errnoOf("ENOPROTOOPT"), { extack });
    }
    return cookie[0] ?? 0n;
  } finally {
    libc().close(fd);
  }
}
