import { readSysctl, setSysctl } from "../../ffi/system/sysctl.ts";

/**
 * Reports whether packets in state INVALID are to be dropped (docs/behaviour.md §5.1, KUBE-FORWARD). If
 * connection tracking is strict, a packet outside the TCP window would leave the node untranslated, and the
 * answer to it would end the connection. They are dropped unless the setting can be read and is liberal.
 * @param sysctls for tests.
 */
export function dropsInvalidPackets(sysctls?: string): boolean {
  return (readSysctl("net.netfilter.nf_conntrack_tcp_be_liberal", sysctls) ?? "0") === "0";
}

/**
 * Sets route_localnet, so that the kernel routes connections to loopback addresses to endpoints elsewhere
 * (docs/behaviour.md §4.5). kube-proxy exits if it cannot be written; we go on, because only node ports on
 * loopback addresses need it.
 * @param sysctls for tests.
 * @returns a warning if it is still off; undefined if it is on.
 */
export function routeLocalnet(sysctls?: string): string | undefined {
  const result = setSysctl("net.ipv4.conf.all.route_localnet", "1", sysctls);
  if (typeof result === "string") return undefined;
  return `cannot set the sysctl net.ipv4.conf.all.route_localnet (${result.reason}), so node ports do not ` +
    "answer on loopback addresses. Set it to 1 on the node, give the container a writable /proc/sys, or " +
    "disable these node ports by --iptables-localhost-nodeports=false";
}
