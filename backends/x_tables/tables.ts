import { FAMILIES, type Family } from "../../core/net/protocol.ts";
import { errnoOf } from "../../ffi/errno.ts";
import { KernelError } from "../../ffi/errors.ts";
import { AF_INET, AF_INET6, IPPROTO_IP, IPPROTO_IPV6 } from "../../ffi/inet.ts";
import { libc, SOCK_CLOEXEC, SOCK_DGRAM } from "../../ffi/libraries/libc.ts";
import { chainNames } from "./entries.ts";

/**
 * A table of the legacy flavour of iptables (x_tables). The kernel evaluates it in addition to those of
 * nf_tables.
 */
export interface LegacyTable {
  readonly family: Family;
  /** filter, nat, mangle, raw or security. */
  readonly table: string;
  /** The number of rules, without the policies of built-in chains. */
  readonly rules: number;
  /** User-defined chains. */
  readonly chains: readonly string[];
  /** Chains whose names begin with KUBE-: kube-proxy's and kubelet's. */
  readonly kubeChains: readonly string[];
}

interface KernelInterface {
  /**
   * The file that lists the tables of this network namespace. Asking for a table that is not listed would
   * make it.
   */
  readonly names: string;
  readonly addressFamily: number;
  readonly level: number;
}

const KERNEL_INTERFACES: Readonly<Record<Family, KernelInterface>> = {
  IPv4: { names: "/proc/net/ip_tables_names", addressFamily: AF_INET, level: IPPROTO_IP },
  IPv6: { names: "/proc/net/ip6_tables_names", addressFamily: AF_INET6, level: IPPROTO_IPV6 },
};

/**
 * Reads the legacy tables of this network namespace. The result is empty if the kernel lacks the legacy
 * flavour or the process lacks CAP_NET_ADMIN.
 * @throws KernelError if a table could not be read for another reason.
 */
export function readLegacyTables(): readonly LegacyTable[] {
  return FAMILIES.flatMap((family) => {
    const { names: path, addressFamily } = KERNEL_INTERFACES[family];
    const names = tableNames(path);
    if (names.length === 0) return [];
    const socket = libc().socket(addressFamily, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    // The family exists, because it has tables.
    if (socket < 0) throw unreadable(names.join(", "), "EMFILE");
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
  } catch (error) {
    // Only root may read the file.
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.PermissionDenied) return [];
    throw error;
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

/** Attempts to read a table. The kernel rejects a read if the size of the table changed in between. */
const MAX_ATTEMPTS = 20;

/** Reads a table; undefined if it has gone, or the kernel does not allow it. */
function readTable(socket: number, family: Family, table: string): LegacyTable | undefined {
  const { level } = KERNEL_INTERFACES[family];
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    const info = requestFor(INFO_BYTES, table);
    if (!ask(socket, level, IPT_SO_GET_INFO, info)) return undefined;
    const size = info.getUint32(INFO_SIZE, true);
    const answer = requestFor(GET_ENTRIES_BYTES + size, table);
    answer.setUint32(XT_TABLE_MAXNAMELEN, size, true);
    if (!ask(socket, level, IPT_SO_GET_ENTRIES, answer)) continue;
    const chains = chainNames(family, new Uint8Array(answer.buffer, GET_ENTRIES_BYTES, size));
    // kube-proxy's table nat of a large cluster takes 100 MB, so do not leave it to the garbage collector.
    answer.buffer.transfer(0);
    const policies = bitsOf(info.getUint32(INFO_VALID_HOOKS, true));
    // A chain has an entry with its name and an entry that returns. The table has one more at its end.
    const rules = info.getUint32(INFO_NUM_ENTRIES, true) - policies - 2 * chains.length - 1;
    return { family, table, rules, chains, kubeChains: chains.filter((chain) => chain.startsWith("KUBE-")) };
  }
  throw unreadable(table, "EAGAIN");
}

function unreadable(tables: string, errnoName: string): KernelError {
  return new KernelError(`read table ${tables} of iptables-legacy`, errnoOf(errnoName));
}

/** A buffer for getsockopt that begins with the table's name. */
function requestFor(length: number, table: string): DataView<ArrayBuffer> {
  const request = new Uint8Array(length);
  new TextEncoder().encodeInto(table, request.subarray(0, XT_TABLE_MAXNAMELEN - 1));
  return new DataView(request.buffer);
}

function ask(socket: number, level: number, option: number, buffer: DataView<ArrayBuffer>): boolean {
  return libc().getsockopt(socket, level, option, buffer, new Uint32Array([buffer.byteLength])) === 0;
}

function bitsOf(mask: number): number {
  let count = 0;
  for (let rest = mask; rest !== 0; rest &= rest - 1) count++;
  return count;
}

/** Chains that kubelet makes, in the flavour that it finds. They translate no connection. */
const KUBELET_CHAINS = /^KUBE-(IPTABLES-HINT|KUBELET-CANARY|FIREWALL|MARK-DROP)$/;

/** A warning for the operator; undefined if there is none. */
export function legacyWarning(tables: readonly LegacyTable[]): string | undefined {
  return kubeProxyWarning(tables) ?? foreignWarning(tables);
}

/** A warning about kube-proxy's chains; undefined if there are none. */
export function kubeProxyWarning(tables: readonly LegacyTable[]): string | undefined {
  const used = tables.filter(({ kubeChains }) => kubeChains.some((name) => !KUBELET_CHAINS.test(name)));
  if (used.length === 0) return undefined;
  const found = used.map((one) => `${nameOf(one)} has ${count(one.kubeChains.length, "chain")}`);
  return `kube-proxy's rules are in the legacy iptables tables (x_tables): ${found.join(", ")}. The kernel ` +
    "evaluates them in addition to ours and may send connections to endpoints that are gone. Remove them: " +
    "run kube-proxy --cleanup with the legacy iptables on its PATH, or restart the node";
}

function foreignWarning(tables: readonly LegacyTable[]): string | undefined {
  const inUse = tables.filter(({ rules }) => rules > 0);
  if (inUse.length === 0) return undefined;
  const found = inUse.map((one) => `${nameOf(one)} has ${count(one.rules, "rule")}`);
  return `other programs have rules in the legacy iptables tables (x_tables): ${
    found.join(", ")
  }. They may ` +
    "drop or translate connections to services. iptables of the nf_tables flavour does not list them, " +
    "iptables-legacy-save does. Let those programs use the nf_tables flavour";
}

function nameOf({ table, family }: LegacyTable): string {
  return `${table} (${family})`;
}

function count(number: number, word: string): string {
  return `${number} ${word}${number === 1 ? "" : "s"}`;
}
