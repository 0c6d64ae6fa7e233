import { setSysctl } from "../../ffi/system/sysctl.ts";

/** A sysctl of this network namespace that mode ipvs needs (docs/behaviour.md §5.3). */
interface Sysctl {
  /** Name as in sysctl(8): dots separate directories. */
  readonly name: string;
  readonly value: string;
  /** The effect of another value. */
  readonly effect: string;
}

const ALWAYS: readonly Sysctl[] = [
  {
    name: "net.ipv4.vs.conntrack",
    value: "1",
    effect: "connections through IPVS are not masqueraded, and replies to them may be lost",
  },
  {
    name: "net.ipv4.vs.expire_nodest_conn",
    value: "1",
    effect: "connections to a removed endpoint hang instead of being balanced again",
  },
  {
    name: "net.ipv4.vs.expire_quiescent_template",
    value: "1",
    effect: "clients with session affinity stay with an endpoint that is being removed",
  },
  {
    name: "net.ipv4.ip_forward",
    value: "1",
    effect: "endpoints in pods and on other nodes cannot be reached",
  },
];

const STRICT_ARP: readonly Sysctl[] = [
  {
    name: "net.ipv4.conf.all.arp_ignore",
    value: "1",
    effect: "the node answers ARP requests for service addresses (strictARP)",
  },
  {
    name: "net.ipv4.conf.all.arp_announce",
    value: "2",
    effect: "the node announces service addresses in ARP requests (strictARP)",
  },
];

const CONN_REUSE_MODE: Sysctl = {
  name: "net.ipv4.vs.conn_reuse_mode",
  value: "0",
  effect: "a connection from a reused client port takes a second longer",
};

export interface SysctlOptions {
  readonly strictArp: boolean;
  /** For tests. */
  readonly directory?: string;
  /** For tests: the output of `uname -r`. */
  readonly kernelRelease?: string;
}

/**
 * Sets the sysctls that mode ipvs needs. The sysctls of IPVS exist once its module is loaded.
 * @returns a warning, with its effect and what to do, for each sysctl that could not be set.
 */
export function setSysctls(
  { strictArp: isStrict, directory, kernelRelease = Deno.osRelease() }: SysctlOptions,
): readonly string[] {
  const desired = [
    ...ALWAYS,
    ...(isStrict ? STRICT_ARP : []),
    ...(losesReusedPorts(kernelRelease) ? [CONN_REUSE_MODE] : []),
  ];
  return desired.flatMap((sysctl) => set(sysctl, directory) ?? []);
}

/**
 * Reports whether the kernel drops the first packet of a connection from a client port that another
 * connection just used. Kernels before Linux 5.9 do (commit f0a5e4d7a594), and not rescheduling such a
 * connection is the lesser evil there. The default of newer kernels is right, because the connection must not
 * go to an endpoint that is being removed. Nothing but the version tells the difference.
 */
function losesReusedPorts(kernelRelease: string): boolean {
  const [major = 0, minor = 0] = kernelRelease.split(".").map((part) => Number.parseInt(part));
  return major < 5 || (major === 5 && minor < 9);
}

function set({ name, value, effect }: Sysctl, directory: string | undefined): string | undefined {
  const result = setSysctl(name, value, directory);
  if (typeof result === "string") return undefined;
  return `the sysctl ${name} cannot be set (${result.reason}): ${effect}. Set it to ${value} on the node, or give ` +
    "the container a writable /proc/sys";
}
