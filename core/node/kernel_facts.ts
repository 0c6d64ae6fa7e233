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
  /** Processes in this network namespace that are other service proxies. */
  readonly otherProxies: readonly ProxyProcess[];
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

/**
 * Reads the facts. Needs no privileges; what cannot be read is undefined or missing.
 * @param root prefix of /proc and /sys; the seam for tests.
 */
export function readKernelFacts(root = ""): KernelFacts {
  const sysctl = (name: string) => read(`${root}/proc/sys/${name.replaceAll(".", "/")}`);
  const flags = (names: Readonly<Record<Family, string>>) => ({
    IPv4: flag(sysctl(names.IPv4)),
    IPv6: flag(sysctl(names.IPv6)),
  });
  return {
    forwards: flags(FORWARDING_SYSCTL),
    strictReversePath: strictInterfaces(root),
    bridges: names(`${root}/sys/class/net`).filter((name) => exists(`${root}/sys/class/net/${name}/bridge`)),
    bridgesCallNetfilter: flags(BRIDGE_SYSCTL),
    conntrack: conntrackOf(
      sysctl("net.netfilter.nf_conntrack_count"),
      sysctl("net.netfilter.nf_conntrack_max"),
    ),
    legacyTables: FAMILIES.flatMap((family) => legacyTables(root, family)),
    otherProxies: otherProxies(root),
  };
}

/** The strictest of the values of all interfaces and of the interface itself is in force (ip-sysctl.rst). */
function strictInterfaces(root: string): readonly string[] {
  const folder = `${root}/proc/sys/net/ipv4/conf`;
  const value = (name: string) => Number(read(`${folder}/${name}/rp_filter`) ?? 0);
  const ofAll = value("all");
  return names(folder)
    .filter((name) => !["all", "default", "lo"].includes(name) && Math.max(ofAll, value(name)) === STRICT)
    .sort();
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

function otherProxies(root: string): readonly ProxyProcess[] {
  const ours = link(`${root}/proc/self/ns/net`);
  const found: ProxyProcess[] = [];
  for (const name of names(`${root}/proc`)) {
    const pid = Number(name);
    if (!Number.isInteger(pid)) continue;
    const program = read(`${root}/proc/${pid}/comm`);
    if (program === undefined || !PROXIES.includes(program)) continue;
    if (ours !== undefined && link(`${root}/proc/${pid}/ns/net`) === ours) found.push({ pid, name: program });
  }
  return found;
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
