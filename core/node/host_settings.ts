import { setSysctl, type SysctlFailure } from "../../ffi/system/sysctl.ts";
import type { Log } from "../observe/log.ts";

/** The section `conntrack` of the configuration. 0 keeps the kernel's value (docs/behaviour.md §9.4). */
export interface ConntrackSettings {
  /** Tracked connections per CPU core. */
  readonly maxPerCore: number;
  /** Lower bound of the limit; not used if `maxPerCore` is 0. */
  readonly min: number;
  /** False keeps the kernel's value. */
  readonly tcpBeLiberal: boolean;
  readonly tcpEstablishedTimeoutMs: number;
  readonly tcpCloseWaitTimeoutMs: number;
  readonly udpTimeoutMs: number;
  readonly udpStreamTimeoutMs: number;
}

/** Files of the kernel. The seam for tests. */
export interface KernelFiles {
  /** /proc/sys */
  readonly sysctls: string;
  /** The size of conntrack's hash table: a parameter of the module, and so of the whole host. */
  readonly hashSize: string;
  /** CPUs in use, as `0-3,8`. */
  readonly onlineCpus: string;
}

const KERNEL: KernelFiles = {
  sysctls: "/proc/sys",
  hashSize: "/sys/module/nf_conntrack/parameters/hashsize",
  onlineCpus: "/sys/devices/system/cpu/online",
};

/** A larger table would take too much memory on hosts with many cores. kube-proxy has this limit since 1.36. */
const MAX_SCALED = 1 << 20;

/** Entries per bucket of the hash table at which lookups are still fast. kube-proxy uses the same. */
const ENTRIES_PER_BUCKET = 4;

/**
 * Applies the section `conntrack` to this network namespace, where it differs. kube-proxy exits if a setting cannot be
 * written; here all others are applied, and one warning names those that are not in force.
 */
export function setConntrackSysctls(settings: ConntrackSettings, log: Log, kernel = KERNEL): void {
  const desired = desiredSysctls(settings, countCpus(kernel.onlineCpus));
  if (desired.length === 0) return;
  if (!exists(`${kernel.sysctls}/net/netfilter/nf_conntrack_max`)) {
    log.info("The kernel has no connection tracking loaded, so its settings are not applied");
    return;
  }
  const problems: string[] = [];
  const reasons = new Set<string>();
  const note = (problem: string, reason: string) => {
    problems.push(problem);
    reasons.add(reason);
  };
  for (const { name, value } of desired) {
    const sysctl = `net.netfilter.${name}`;
    const result = setSysctl(sysctl, String(value), kernel.sysctls);
    if (result === "changed") log.info("Set a sysctl", { sysctl, value });
    if (typeof result === "string") continue;
    if (isHigherLimitOfHost(name, value, result)) {
      log.info("The limit of tracked connections is that of the host", { sysctl, value: result.current });
    } else note(`${sysctl} is ${result.current ?? "not readable"} instead of ${value}`, result.reason);
  }
  const max = desired.find(({ name }) => name === MAX)?.value;
  if (max !== undefined) growHashTable(Math.floor(max / ENTRIES_PER_BUCKET), kernel.hashSize, log, note);
  if (problems.length === 0) return;
  log.warn(
    `settings of connection tracking are not in force: ${problems.join(", ")} (${
      [...reasons].join("; ")
    }). ` +
      "Set them on the node, give the process a writable /proc/sys, or keep the kernel's values with 0 in the " +
      "section conntrack (--conntrack-max-per-core=0, --conntrack-tcp-timeout-established=0, and so on)",
  );
}

/**
 * Sets the likelihood that the kernel kills this process when memory runs out. As in kube-proxy, a failure changes
 * nothing else: a value below the present one requires CAP_SYS_RESOURCE.
 * @param isDefault keeps a failure out of the log, because nobody asked for this value.
 */
export function setOomScoreAdj(
  value: number,
  isDefault: boolean,
  log: Log,
  path = "/proc/self/oom_score_adj",
): void {
  try {
    if (Number(Deno.readTextFileSync(path)) === value) return;
    Deno.writeTextFileSync(path, String(value), { create: false });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const message =
      `oomScoreAdj ${value} cannot be set (${reason}). A value below the present one requires ` +
      "CAP_SYS_RESOURCE; or set it in the unit (OOMScoreAdjust=) or the container";
    if (isDefault) log.info(message, {}, 2);
    else log.warn(message);
  }
}

const MAX = "nf_conntrack_max";

interface Sysctl {
  /** Below net.netfilter. */
  readonly name: string;
  readonly value: number;
}

function desiredSysctls(settings: ConntrackSettings, cpus: number): readonly Sysctl[] {
  const timeouts: readonly Sysctl[] = [
    { name: "nf_conntrack_tcp_timeout_established", value: settings.tcpEstablishedTimeoutMs },
    { name: "nf_conntrack_tcp_timeout_close_wait", value: settings.tcpCloseWaitTimeoutMs },
    { name: "nf_conntrack_udp_timeout", value: settings.udpTimeoutMs },
    { name: "nf_conntrack_udp_timeout_stream", value: settings.udpStreamTimeoutMs },
  ];
  return [
    { name: MAX, value: maxOf(settings, cpus) },
    { name: "nf_conntrack_tcp_be_liberal", value: settings.tcpBeLiberal ? 1 : 0 },
    // Less than a second is a second: 0 would end every flow at once.
    ...timeouts.map(({ name, value }) => ({ name, value: value && Math.max(1, Math.floor(value / 1000)) })),
  ].filter(({ value }) => value > 0);
}

/** Returns the limit of tracked connections that the settings stand for on this host; 0 to keep the kernel's. */
export function conntrackMax(settings: ConntrackSettings, kernel = KERNEL): number {
  return maxOf(settings, countCpus(kernel.onlineCpus));
}

function maxOf({ maxPerCore, min }: ConntrackSettings, cpus: number): number {
  if (maxPerCore === 0) return 0;
  const scaled = maxPerCore * cpus;
  return scaled > MAX_SCALED ? MAX_SCALED : Math.max(scaled, min);
}

/**
 * Counts the CPUs of the host, because the limit is that of the host. The runtime counts only those that this process
 * may use.
 * @param path of a list such as `0-3,8`.
 */
function countCpus(path: string): number {
  let count = 0;
  try {
    for (const range of Deno.readTextFileSync(path).trim().split(",")) {
      const [first = NaN, last = first] = range.split("-").map(Number);
      count += last - first + 1;
    }
  } catch {
    // Without sysfs, the runtime's number is the best one.
  }
  return count > 0 ? count : navigator.hardwareConcurrency;
}

/**
 * The limit counts for the whole host, and only its initial network namespace may change it. In another one, as on a
 * node in a container, a limit that is high enough needs no warning.
 */
function isHigherLimitOfHost(name: string, value: number, failure: SysctlFailure): boolean {
  return name === MAX && failure.isReadOnlyHere && Number(failure.current) >= value;
}

function growHashTable(
  buckets: number,
  path: string,
  log: Log,
  note: (problem: string, reason: string) => void,
): void {
  let current: number;
  try {
    current = Number(Deno.readTextFileSync(path));
  } catch {
    // Conntrack is built into the kernel, or sysfs is hidden. Nothing depends on it but speed.
    log.info("The size of conntrack's hash table cannot be read", { path });
    return;
  }
  if (current >= buckets) return;
  try {
    Deno.writeTextFileSync(path, String(buckets), { create: false });
    log.info("Enlarged conntrack's hash table", { buckets });
  } catch (error) {
    note(
      `${path} is ${current} instead of ${buckets}`,
      error instanceof Error ? error.message : String(error),
    );
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
