/** A setting of this network namespace that mode ipvs depends on (docs/behaviour.md §5.3). */
interface Sysctl {
  /** As sysctl(8) names it; a dot is a directory. */
  readonly name: string;
  readonly value: string;
  /** What goes wrong where it is not set. */
  readonly otherwise: string;
}

const always: readonly Sysctl[] = [
  {
    name: "net.ipv4.vs.conntrack",
    value: "1",
    otherwise: "connections that IPVS balances are not masqueraded, and answers to them may be lost",
  },
  {
    name: "net.ipv4.vs.expire_nodest_conn",
    value: "1",
    otherwise: "connections to an endpoint that is gone hang instead of being balanced anew",
  },
  {
    name: "net.ipv4.vs.expire_quiescent_template",
    value: "1",
    otherwise: "clients with session affinity stay with an endpoint that is being removed",
  },
  {
    name: "net.ipv4.ip_forward",
    value: "1",
    otherwise: "endpoints on other nodes and in pods are not reached",
  },
];

const strictArp: readonly Sysctl[] = [
  {
    name: "net.ipv4.conf.all.arp_ignore",
    value: "1",
    otherwise: "the node answers ARP requests for addresses of services (strictARP)",
  },
  {
    name: "net.ipv4.conf.all.arp_announce",
    value: "2",
    otherwise: "the node announces addresses of services in ARP requests (strictARP)",
  },
];

const connReuseMode: Sysctl = {
  name: "net.ipv4.vs.conn_reuse_mode",
  value: "0",
  otherwise: "a client that uses a port again waits a second for its connection",
};

export interface SysctlOptions {
  readonly strictArp: boolean;
  /** For tests. */
  readonly directory?: string;
  /** For tests: as `uname -r` says. */
  readonly kernelRelease?: string;
}

/**
 * Sets what mode ipvs needs. Written only where it is different, so that a node that sets it itself needs no writable
 * /proc/sys. IPVS has its settings once it is in the kernel.
 * @returns what is not as it should be, what that means, and what to do; empty when all is.
 */
export function setSysctls(
  { strictArp: isStrict, directory = "/proc/sys", kernelRelease = Deno.osRelease() }: SysctlOptions,
): readonly string[] {
  const wanted = [
    ...always,
    ...(isStrict ? strictArp : []),
    ...(losesReusedPorts(kernelRelease) ? [connReuseMode] : []),
  ];
  return wanted.flatMap((sysctl) => set(sysctl, directory) ?? []);
}

/**
 * Whether the kernel drops the first packet of a connection from a port that was just used by another one (before
 * commit f0a5e4d7a594, Linux 5.9), where not rescheduling it is the lesser evil. A newer one's own value is right: such
 * a connection must not go to an endpoint that is being removed. By its version, for nothing else tells.
 */
function losesReusedPorts(kernelRelease: string): boolean {
  const [major = 0, minor = 0] = kernelRelease.split(".").map((part) => Number.parseInt(part));
  return major < 5 || (major === 5 && minor < 9);
}

function set({ name, value, otherwise }: Sysctl, directory: string): string | undefined {
  const path = `${directory}/${name.replaceAll(".", "/")}`;
  try {
    if (Deno.readTextFileSync(path).trim() === value) return undefined;
    // Where there is no such setting, writing must not make a file.
    Deno.writeTextFileSync(path, `${value}\n`, { create: false });
    return undefined;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return `${otherwise}, because the sysctl ${name} cannot be set (${reason}). Set it to ${value} on the node, or ` +
      "give the container a writable /proc/sys";
  }
}
