/** The kernel's settings of this network namespace. */
const SYSCTLS = "/proc/sys";

const TCP_BE_LIBERAL = "net/netfilter/nf_conntrack_tcp_be_liberal";
const ROUTE_LOCALNET = "net/ipv4/conf/all/route_localnet";

/**
 * Reports whether packets in state INVALID are to be dropped (docs/behaviour.md §5.1, KUBE-FORWARD). If
 * connection tracking is strict, a packet outside the TCP window would leave the node untranslated, and the
 * answer to it would end the connection. They are dropped unless the setting can be read and is liberal.
 * @param sysctls for tests.
 */
export function dropsInvalidPackets(sysctls: string = SYSCTLS): boolean {
  try {
    return Deno.readTextFileSync(`${sysctls}/${TCP_BE_LIBERAL}`).trim() === "0";
  } catch {
    return true;
  }
}

/**
 * Sets route_localnet, so that the kernel routes connections to loopback addresses to endpoints elsewhere
 * (docs/behaviour.md §4.5). It is written only if it is off, so that a node that sets it itself needs no
 * writable /proc/sys. kube-proxy exits if it cannot be written; we go on, because only node ports on loopback
 * addresses need it.
 * @param sysctls for tests.
 * @returns a warning if it is still off; undefined if it is on.
 */
export function routeLocalnet(sysctls: string = SYSCTLS): string | undefined {
  const path = `${sysctls}/${ROUTE_LOCALNET}`;
  try {
    if (Deno.readTextFileSync(path).trim() !== "0") return undefined;
    // If the setting does not exist, do not create a file.
    Deno.writeTextFileSync(path, "1\n", { create: false });
    return undefined;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return `cannot set the sysctl net.ipv4.conf.all.route_localnet (${reason}), so node ports do not answer ` +
      "on loopback addresses. Set it to 1 on the node, give the container a writable /proc/sys, or disable " +
      "these node ports by --iptables-localhost-nodeports=false";
  }
}
