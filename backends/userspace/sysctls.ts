import { setSysctl } from "../../ffi/system/sysctl.ts";

/**
 * Lets the kernel reuse a local port one second after its connection has ended, instead of one minute. All connections
 * to one endpoint share the 28,000 local ports of this node, because the relay is their client: without it, an endpoint
 * gets some 470 connections per second. It concerns only connections that this node opens, and whose both sides use TCP
 * timestamps (RFC 6191).
 */
const TCP_TW_REUSE = "net.ipv4.tcp_tw_reuse";

/**
 * Sets the sysctl that mode userspace needs. It counts for IPv6, too.
 * @param directory for tests.
 * @returns a warning, with its effect and what to do, if it could not be set.
 */
export function setSysctls(directory?: string): readonly string[] {
  const result = setSysctl(TCP_TW_REUSE, "1", directory);
  if (typeof result === "string") return [];
  return [
    `cannot set the sysctl ${TCP_TW_REUSE} to 1 (${result.reason}), so an endpoint gets at most some 470 connections ` +
    "per second through this node; set it on the node, or make /proc/sys writable",
  ];
}
