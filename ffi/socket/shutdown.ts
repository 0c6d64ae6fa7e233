import { AF_INET, AF_INET6, libc, SHUT_RDWR } from "../libraries/libc.ts";

export interface SocketEnd {
  /** 4 bytes for IPv4, also on a socket of IPv6, otherwise 16. */
  readonly address: Uint8Array;
  readonly port: number;
}

/** Deno uses the lowest free file descriptors, and this process uses some hundreds. */
const MAX_FD = 8192;
/** sizeof(struct sockaddr_in6) */
const SOCKADDR_BYTES = 28;

/**
 * Ends both directions of a TCP connection of this process, so that reads and writes that wait on it fail.
 * Deno has no means for that, and does not tell the file descriptor: it is found by the two ends.
 * @returns false when no socket has these ends.
 */
export function shutDown(local: SocketEnd, remote: SocketEnd): boolean {
  const { getpeername, getsockname, shutdown } = libc();
  const name = new Uint8Array(SOCKADDR_BYTES);
  const length = new Uint32Array(1);
  const isEnd = (get: typeof getpeername, fd: number, end: SocketEnd) => {
    length[0] = SOCKADDR_BYTES;
    return get(fd, name, length) === 0 && isSame(decode(name), end);
  };
  for (let fd = 0; fd < MAX_FD; fd++) {
    if (isEnd(getpeername, fd, remote) && isEnd(getsockname, fd, local)) return shutdown(fd, SHUT_RDWR) === 0;
  }
  return false;
}

/**
 * struct sockaddr_in { u16 sin_family; be16 sin_port; u8 sin_addr[4]; … };
 * struct sockaddr_in6 { u16 sin6_family; be16 sin6_port; u32 sin6_flowinfo; u8 sin6_addr[16]; u32 sin6_scope_id; };
 */
function decode(name: Uint8Array): SocketEnd | undefined {
  const view = new DataView(name.buffer);
  const port = view.getUint16(2, false);
  switch (view.getUint16(0, true)) {
    case AF_INET:
      return { address: name.subarray(4, 8), port };
    case AF_INET6: {
      const address = name.subarray(8, 24);
      const isMapped = address.subarray(0, 10).every((byte) => byte === 0) && view.getUint16(18) === 0xffff;
      return { address: isMapped ? address.subarray(12) : address, port };
    }
    default:
      return undefined;
  }
}

function isSame(one: SocketEnd | undefined, other: SocketEnd): boolean {
  return one !== undefined && one.port === other.port && one.address.length === other.address.length &&
    one.address.every((byte, index) => byte === other.address[index]);
}
