import { FAMILIES, type Family } from "../../../core/net/protocol.ts";
import { libc, SOCK_CLOEXEC, SOCK_DGRAM } from "../../../ffi/libc.ts";
import { AF_INET, AF_INET6, IPPROTO_IP, IPPROTO_IPV6 } from "../../../ffi/inet.ts";
import { chainNames } from "./entries.ts";

/** A table of the legacy flavour of iptables (x_tables), which the kernel evaluates beside those of nf_tables. */
export interface LegacyTable {
  readonly family: Family;
  /** filter, nat, mangle, raw or security. */
  readonly table: string;
  /** Without the policies of its hooks. */
  readonly rules: number;
  /** Those whose name begins with KUBE-, kube-proxy's and the kubelet's. */
  readonly kubeChains: readonly string[];
}

interface Interface {
  /** Lists the tables of this network namespace. Asking for any other would make it. */
  readonly names: string;
  readonly addressFamily: number;
  readonly level: number;
}

const interfaces: Readonly<Record<Family, Interface>> = {
  IPv4: { names: "/proc/net/ip_tables_names", addressFamily: AF_INET, level: IPPROTO_IP },
  IPv6: { names: "/proc/net/ip6_tables_names", addressFamily: AF_INET6, level: IPPROTO_IPV6 },
};

/**
 * The tables of the legacy flavour that this network namespace has. A kernel without that flavour has none, and who
 * may not look (it takes CAP_NET_ADMIN) sees none.
 */
export function readLegacyTables(): readonly LegacyTable[] {
  return FAMILIES.flatMap((family) => {
    const { names: path, addressFamily } = interfaces[family];
    const names = tableNames(path);
    if (names.length === 0) return [];
    const socket = libc().socket(addressFamily, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (socket < 0) return [];
    try {
      return names.flatMap((table) => readTable(socket, family, table) ?? []);
    } finally {
      libc().close(socket);
    }
  });
}

function tableNames(path: string): readonly string[] {
  try {
    return Deno.readTextFileSync(path).split("\n").filter((name) => name !== "");
  } catch {
    return [];
  }
}

const IPT_SO_GET_INFO = 64; // linux/netfilter_ipv4/ip_tables.h; IP6T_SO_GET_INFO is the same
const IPT_SO_GET_ENTRIES = 65; // linux/netfilter_ipv4/ip_tables.h; IP6T_SO_GET_ENTRIES is the same
const XT_TABLE_MAXNAMELEN = 32; // linux/netfilter/x_tables.h

// struct ipt_getinfo { char name[32]; unsigned valid_hooks, hook_entry[5], underflow[5], num_entries, size; }
const INFO_BYTES = 84;
const INFO_VALID_HOOKS = 32;
const INFO_NUM_ENTRIES = 76;
const INFO_SIZE = 80;

// struct ipt_get_entries { char name[32]; unsigned size; struct ipt_entry entrytable[]; }, aligned to 8 bytes
const GET_ENTRIES_BYTES = 40;

/** The kernel refuses entries of another size than it has by then: somebody changed the table in between. */
const ATTEMPTS = 5;

/** Undefined when the kernel does not tell. */
function readTable(socket: number, family: Family, table: string): LegacyTable | undefined {
  const { level } = interfaces[family];
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const info = named(INFO_BYTES, table);
    if (!ask(socket, level, IPT_SO_GET_INFO, info)) return undefined;
    const size = info.getUint32(INFO_SIZE, true);
    const answer = named(GET_ENTRIES_BYTES + size, table);
    answer.setUint32(XT_TABLE_MAXNAMELEN, size, true);
    if (!ask(socket, level, IPT_SO_GET_ENTRIES, answer)) continue;
    const chains = chainNames(family, new Uint8Array(answer.buffer, GET_ENTRIES_BYTES, size));
    // Upstream's table nat of a large cluster is 100 MB long: not to be left to the collector.
    answer.buffer.transfer(0);
    const policies = bitsOf(info.getUint32(INFO_VALID_HOOKS, true));
    // A chain has an entry with its name and one that returns, the table one at its end.
    const rules = info.getUint32(INFO_NUM_ENTRIES, true) - policies - 2 * chains.length - 1;
    return { family, table, rules, kubeChains: chains.filter((chain) => chain.startsWith("KUBE-")) };
  }
  return undefined;
}

/** A question of the kernel's that begins with the table's name. */
function named(length: number, table: string): DataView<ArrayBuffer> {
  const question = new Uint8Array(length);
  new TextEncoder().encodeInto(table, question.subarray(0, XT_TABLE_MAXNAMELEN - 1));
  return new DataView(question.buffer);
}

function ask(socket: number, level: number, option: number, question: DataView<ArrayBuffer>): boolean {
  return libc().getsockopt(socket, level, option, question, new Uint32Array([question.byteLength])) === 0;
}

function bitsOf(mask: number): number {
  let count = 0;
  for (let rest = mask; rest !== 0; rest &= rest - 1) count++;
  return count;
}

/** What the kubelet makes, in whatever flavour it finds. They translate no connection. */
const ofKubelet = /^KUBE-(IPTABLES-HINT|KUBELET-CANARY|FIREWALL|MARK-DROP)$/;

/** Undefined when there is nothing to tell the operator. */
export function legacyWarning(tables: readonly LegacyTable[]): string | undefined {
  return kubeProxyWarning(tables) ?? othersWarning(tables);
}

/** Undefined when none of the chains are kube-proxy's. */
export function kubeProxyWarning(tables: readonly LegacyTable[]): string | undefined {
  const ofKubeProxy = tables.filter(({ kubeChains }) => kubeChains.some((name) => !ofKubelet.test(name)));
  if (ofKubeProxy.length === 0) return undefined;
  const found = ofKubeProxy.map((one) => `${nameOf(one)} has ${count(one.kubeChains.length, "chain")}`);
  return `kube-proxy's rules are in the legacy iptables tables (x_tables): ${found.join(", ")}. The kernel ` +
    "follows them beside these rules and may send connections to endpoints that are gone. Remove them: run " +
    "kube-proxy --cleanup where iptables is the legacy one, or restart the node";
}

function othersWarning(tables: readonly LegacyTable[]): string | undefined {
  const inUse = tables.filter(({ rules }) => rules > 0);
  if (inUse.length === 0) return undefined;
  const found = inUse.map((one) => `${nameOf(one)} has ${count(one.rules, "rule")}`);
  return `other programs have rules in the legacy iptables tables (x_tables): ${
    found.join(", ")
  }. They may ` +
    "drop or translate connections to services, and iptables of the nf_tables flavour does not list them: " +
    "iptables-legacy-save does. Let those programs use the nf_tables flavour";
}

function nameOf({ table, family }: LegacyTable): string {
  return `${table} (${family})`;
}

function count(number: number, word: string): string {
  return `${number} ${word}${number === 1 ? "" : "s"}`;
}
