/** Where the kernel's settings of this network namespace are. */
const SYSCTLS = "/proc/sys";

const TCP_BE_LIBERAL = "net/netfilter/nf_conntrack_tcp_be_liberal";
const ROUTE_LOCALNET = "net/ipv4/conf/all/route_localnet";

/**
 * Whether packets that connection tracking calls INVALID are to be dropped (docs/behaviour.md §5.1, KUBE-FORWARD):
 * where it is strict, a packet outside the TCP window would leave the node untranslated, and the answer to it would
 * end the connection. Only a setting that can be read keeps them.
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
 * Lets the kernel route connections to loopback addresses to endpoints elsewhere (docs/behaviour.md §4.5). Written
 * only where it is off, so that a node that sets it itself needs no writable /proc/sys. Upstream ends when it cannot
 * be written; nothing but node ports on loopback addresses depends on it.
 * @param sysctls for tests.
 * @returns why it is still off, and what to do; undefined when it is on.
 */
export function routeLocalnet(sysctls: string = SYSCTLS): string | undefined {
  const path = `${sysctls}/${ROUTE_LOCALNET}`;
  try {
    if (Deno.readTextFileSync(path).trim() !== "0") return undefined;
    // Where there is no such setting, writing must not make a file.
    Deno.writeTextFileSync(path, "1\n", { create: false });
    return undefined;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return "node ports do not answer on loopback addresses, because the sysctl net.ipv4.conf.all.route_localnet " +
      `cannot be set (${reason}). Set it to 1 on the node, give the container a writable /proc/sys, or do without ` +
      "them: --iptables-localhost-nodeports=false";
  }
}
