import { eachInTurns } from "../async/turns.ts";
import { FAMILIES, type Family } from "../net/protocol.ts";

/** Facts about the kernel of this node, in this network namespace, that decide whether services work. */
export interface KernelFacts {
  /** True if packets are forwarded; undefined if the kernel does not tell. */
  readonly forwards: Readonly<Record<Family, boolean | undefined>>;
  /** Interfaces that drop packets which would not be answered through them (rp_filter 1, strict). IPv4 only. */
  readonly strictReversePath: readonly string[];
  /** Bridge devices. */
  readonly bridges: readonly string[];
  /** True if netfilter sees the packets that a bridge forwards; undefined without the module br_netfilter. */
  readonly bridgesCallNetfilter: Readonly<Record<Family, boolean | undefined>>;
  /** Undefined without connection tracking. */
  readonly conntrack: { readonly entries: number; readonly limit: number } | undefined;
  /** Tables of iptables-legacy that are in use: "IPv4 filter". */
  readonly legacyTables: readonly string[];
  /** Processes in this network namespace that are other service proxies, as far as this process sees them. */
  readonly otherProxies: readonly ProxyProcess[];
  /** False in a PID namespace of a container, which hides the processes of other containers. */
  readonly seesAllProcesses: boolean;
}

export interface ProxyProcess {
  readonly pid: number;
  /** Name of the program: "kube-proxy". */
  readonly name: string;
}

/** Sysctl that lets packets of a family be forwarded. */
export const FORWARDING_SYSCTL: Readonly<Record<Family, string>> = {
  IPv4: "net.ipv4.ip_forward",
  IPv6: "net.ipv6.conf.all.forwarding",
};

/** Sysctl that lets netfilter see the packets of a family that a bridge forwards. */
export const BRIDGE_SYSCTL: Readonly<Record<Family, string>> = {
  IPv4: "net.bridge.bridge-nf-call-iptables",
  IPv6: "net.bridge.bridge-nf-call-ip6tables",
};

/** Names (comm, at most 15 bytes) of programs that program services. */
const PROXIES = ["kube-proxy", "cilium-agent", "kube-router"];

interface FactsOptions {
  /** PID of the proxy that has the lock of this network namespace, if there is one and it is visible. */
  readonly proxyPid?: number | undefined;
  /** Prefix of /proc and /sys; the seam for tests. */
  readonly root?: string;
}

/**
 * Reads the facts, in turns, because a node may have thousands of processes and interfaces. Needs no privileges; what
 * cannot be read is undefined or missing.
 */
export async function readKernelFacts({ proxyPid, root = "" }: FactsOptions = {}): Promise<KernelFacts> {
  const sysctl = (name: string) => read(`${root}/proc/sys/${name.replaceAll(".", "/")}`);
  const flags = (names: Readonly<Record<Family, string>>) => ({
    IPv4: flag(sysctl(names.IPv4)),
    IPv6: flag(sysctl(names.IPv6)),
  });
  return {
    forwards: flags(FORWARDING_SYSCTL),
    strictReversePath: await strictInterfaces(root),
    bridges: await bridges(root),
    bridgesCallNetfilter: flags(BRIDGE_SYSCTL),
    conntrack: conntrackOf(
      sysctl("net.netfilter.nf_conntrack_count"),
      sysctl("net.netfilter.nf_conntrack_max"),
    ),
    legacyTables: FAMILIES.flatMap((family) => legacyTables(root, family)),
    otherProxies: await otherProxies(root, proxyPid),
    seesAllProcesses: link(`${root}/proc/self/ns/pid`) === HOST_PID_NAMESPACE,
  };
}

/** The PID namespace that the kernel starts with: PROC_PID_INIT_INO, linux/proc_ns.h. */
const HOST_PID_NAMESPACE = `pid:[${0xefff_fffc}]`;

/** The strictest of the values of all interfaces and of the interface itself is in force (ip-sysctl.rst). */
async function strictInterfaces(root: string): Promise<readonly string[]> {
  const folder = `${root}/proc/sys/net/ipv4/conf`;
  const value = (name: string) => Number(read(`${folder}/${name}/rp_filter`) ?? 0);
  const ofAll = value("all");
  const interfaces = names(folder).filter((name) => !["all", "default", "lo"].includes(name));
  return (await selected(interfaces, (name) => Math.max(ofAll, value(name)) === STRICT)).sort();
}

function bridges(root: string): Promise<readonly string[]> {
  const folder = `${root}/sys/class/net`;
  return selected(names(folder), (name) => exists(`${folder}/${name}/bridge`));
}

/** Filters in turns. */
async function selected(all: readonly string[], isWanted: (name: string) => boolean): Promise<string[]> {
  const found: string[] = [];
  await eachInTurns(all, (name) => {
    if (isWanted(name)) found.push(name);
  });
  return found;
}

const STRICT = 1;

function conntrackOf(entries: string | undefined, limit: string | undefined): KernelFacts["conntrack"] {
  if (entries === undefined || limit === undefined) return undefined;
  return { entries: Number(entries), limit: Number(limit) };
}

function legacyTables(root: string, family: Family): readonly string[] {
  const file = family === "IPv4" ? "ip_tables_names" : "ip6_tables_names";
  const tables = read(`${root}/proc/net/${file}`)?.split("\n") ?? [];
  return tables.filter((name) => name !== "").map((name) => `${family} ${name}`);
}

async function otherProxies(root: string, proxyPid: number | undefined): Promise<readonly ProxyProcess[]> {
  const namespace = link(`${root}/proc/self/ns/net`);
  const program = fileOf(`${root}/proc/self/exe`);
  const found: ProxyProcess[] = [];
  await eachInTurns(names(`${root}/proc`), (entry) => {
    const pid = Number(entry);
    if (!Number.isInteger(pid) || pid === proxyPid) return;
    const folder = `${root}/proc/${pid}`;
    const name = read(`${folder}/comm`);
    if (name === undefined || !PROXIES.includes(name)) return;
    if (namespace === undefined || link(`${folder}/ns/net`) !== namespace) return;
    // This program may have the name of kube-proxy, as in the container image.
    if (program !== undefined && fileOf(`${folder}/exe`) === program) return;
    found.push({ pid, name });
  });
  return found;
}

/** Identifies a file; undefined if there is none, or without the privilege to see it. */
function fileOf(path: string): string | undefined {
  try {
    const { dev, ino } = Deno.statSync(path);
    return `${dev} ${ino}`;
  } catch {
    return undefined;
  }
}

function flag(value: string | undefined): boolean | undefined {
  return value === undefined ? undefined : value !== "0";
}

function read(path: string): string | undefined {
  try {
    return Deno.readTextFileSync(path).trim();
  } catch {
    return undefined;
  }
}

function link(path: string): string | undefined {
  try {
    return Deno.readLinkSync(path);
  } catch {
    return undefined;
  }
}

function names(folder: string): readonly string[] {
  try {
    return [...Deno.readDirSync(folder)].map(({ name }) => name);
  } catch {
    return [];
  }
}

function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch {
    return false;
  }
}
