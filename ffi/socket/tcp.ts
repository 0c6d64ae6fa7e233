import { KernelError } from "../errors.ts";
import { AF_INET, AF_INET6, IPPROTO_IP, IPPROTO_IPV6, IPPROTO_TCP } from "../inet.ts";
import { SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_STREAM, SOL_SOCKET } from "../libraries/libc.ts";
import type { SocketAddress } from "./address.ts";
import { calls, errno } from "./calls.ts";
import * as c from "./constants.ts";
import { setOption } from "./options.ts";

const SOCKET_FLAGS = SOCK_NONBLOCK | SOCK_CLOEXEC;

/** The kernel limits it to net.core.somaxconn (4096). */
const BACKLOG = 65_535;

/** Returns a new TCP socket that does not block; negative without descriptors or memory. */
export function tcpSocket(family: number): number {
  return calls.socket(family, SOCK_STREAM | SOCKET_FLAGS, IPPROTO_TCP);
}

/**
 * Listens on an address. IPv6 listeners serve IPv6 only.
 * @param operation for the error: "listen on 127.0.0.1:80".
 * @throws KernelError EADDRINUSE, EADDRNOTAVAIL, EACCES (a port below 1024), EAFNOSUPPORT or EMFILE.
 */
export function listenTcp(operation: string, family: number, address: SocketAddress): number {
  const fd = tcpSocket(family);
  if (fd < 0) throw new KernelError(operation, errno());
  // Without it, connections of an earlier process in TIME_WAIT would occupy the port for a minute.
  setOption(fd, SOL_SOCKET, c.SO_REUSEADDR, 1);
  if (family === AF_INET6) setOption(fd, IPPROTO_IPV6, c.IPV6_V6ONLY, 1);
  if (calls.bind(fd, address.bytes, address.length) < 0 || calls.listen(fd, BACKLOG) < 0) {
    const reason = errno();
    calls.close(fd);
    throw new KernelError(operation, reason);
  }
  return fd;
}

/** Result of `acceptTcp` without a connection. */
export const NO_CONNECTION = -1;
/** Result of `acceptTcp`: this process or the system has no descriptors or no memory left. */
export const NO_RESOURCES = -2;

/** Accepts a connection and stores the client's address. */
export function acceptTcp(listener: number, client: SocketAddress): number {
  const fd = calls.accept4(listener, client.bytes, client.empty(), SOCKET_FLAGS);
  if (fd >= 0) return fd;
  switch (errno()) {
    case c.EMFILE:
    case c.ENFILE:
    case c.ENOBUFS:
    case c.ENOMEM:
      return NO_RESOURCES;
    default:
      return NO_CONNECTION;
  }
}

/**
 * Begins to connect. The socket becomes writable when the connection is established, and has an error if it failed.
 * @returns 0, or the errno of an attempt that failed at once.
 */
export function connectTcp(fd: number, endpoint: SocketAddress): number {
  if (calls.connect(fd, endpoint.bytes, endpoint.length) === 0) return 0;
  const reason = errno();
  return reason === c.EINPROGRESS ? 0 : reason;
}

/**
 * Stores the destination that a connection had before the kernel redirected it.
 * @returns false if conntrack does not know the connection.
 */
export function originalDestination(fd: number, family: number, destination: SocketAddress): boolean {
  const [level, option] = family === AF_INET
    ? [IPPROTO_IP, c.SO_ORIGINAL_DST]
    : [IPPROTO_IPV6, c.IP6T_SO_ORIGINAL_DST];
  return calls.getsockopt(fd, level, option, destination.bytes, destination.empty()) === 0;
}

/** Stores the address that a socket is bound to. */
export function localAddress(fd: number, address: SocketAddress): void {
  calls.getsockname(fd, address.bytes, address.empty());
}

/** Returns the port that a socket is bound to. */
export function localPort(fd: number, address: SocketAddress): number {
  localAddress(fd, address);
  return address.port;
}
