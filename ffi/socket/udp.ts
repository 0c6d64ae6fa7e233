import { KernelError } from "../errors.ts";
import { AF_INET6, IPPROTO_IP, IPPROTO_IPV6, IPPROTO_UDP } from "../inet.ts";
import {
  SO_RCVBUF,
  SO_RCVBUFFORCE,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOL_SOCKET,
} from "../libraries/libc.ts";
import type { SocketAddress } from "./address.ts";
import { calls, errno } from "./calls.ts";
import * as c from "./constants.ts";
import { setOption } from "./options.ts";

/** Returns a new UDP socket that does not block; negative without descriptors or memory. */
export function udpSocket(family: number): number {
  return calls.socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_UDP);
}

/**
 * Receives datagrams for an address, with the address that each came to. IPv6 sockets receive IPv6 only.
 * @param operation for the error: "listen on 127.0.0.1:53/UDP".
 * @param receiveBytes memory for datagrams that wait; capped without CAP_NET_ADMIN.
 * @throws KernelError EADDRINUSE, EADDRNOTAVAIL, EACCES (a port below 1024), EAFNOSUPPORT or EMFILE.
 */
export function bindUdp(
  operation: string,
  family: number,
  address: SocketAddress,
  receiveBytes: number,
): number {
  const fd = udpSocket(family);
  if (fd < 0) throw new KernelError(operation, errno());
  if (family === AF_INET6) {
    setOption(fd, IPPROTO_IPV6, c.IPV6_V6ONLY, 1);
    setOption(fd, IPPROTO_IPV6, c.IPV6_RECVPKTINFO, 1);
  } else {
    setOption(fd, IPPROTO_IP, c.IP_PKTINFO, 1);
  }
  if (!setOption(fd, SOL_SOCKET, SO_RCVBUFFORCE, receiveBytes)) {
    setOption(fd, SOL_SOCKET, SO_RCVBUF, receiveBytes);
  }
  if (calls.bind(fd, address.bytes, address.length) < 0) {
    const reason = errno();
    calls.close(fd);
    throw new KernelError(operation, reason);
  }
  return fd;
}

/** Sets the only peer of a UDP socket. @returns false if there is no route to it. */
export function connectUdp(fd: number, peer: SocketAddress): boolean {
  return calls.connect(fd, peer.bytes, peer.length) === 0;
}
