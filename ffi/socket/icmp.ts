import { AF_INET6, IPPROTO_ICMP, IPPROTO_ICMPV6 } from "../inet.ts";
import { MSG_DONTWAIT, MSG_NOSIGNAL, SOCK_CLOEXEC, SOCK_NONBLOCK } from "../libraries/libc.ts";
import type { SocketAddress } from "./address.ts";
import { calls } from "./calls.ts";
import * as c from "./constants.ts";

/**
 * Returns a socket that sends ICMP or ICMPv6 messages and receives none. The kernel adds the IP header, and in ICMPv6
 * the checksum.
 * @param family AF_INET or AF_INET6
 * @returns negative without CAP_NET_RAW, descriptors or memory.
 */
export function icmpSocket(family: number): number {
  const isIPv6 = family === AF_INET6;
  const fd = calls.socket(
    family,
    c.SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC,
    isIPv6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP,
  );
  if (fd < 0) return fd;
  // A filter with all bits set keeps every type out of the receive queue.
  const [level, option] = isIPv6 ? [IPPROTO_ICMPV6, c.ICMPV6_FILTER] : [c.SOL_RAW, c.ICMP_FILTER];
  const everything = new Uint8Array(isIPv6 ? 32 : 4).fill(0xff);
  calls.setsockopt(fd, level, option, everything, everything.length);
  return fd;
}

/** Sends one message, which is lost if it cannot be sent at once. */
export function sendTo(fd: number, message: Uint8Array<ArrayBuffer>, to: SocketAddress): void {
  calls.sendto(fd, message, BigInt(message.length), MSG_DONTWAIT | MSG_NOSIGNAL, to.bytes, to.length);
}
