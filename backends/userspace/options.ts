import type { OptionSource } from "../../core/backend/mode.ts";
import { type Cidr, cidrOf, covers, LOOPBACK } from "../../core/net/address.ts";
import { userspaceFlags } from "./flags.ts";

/** Options of mode userspace. */
export interface UserspaceOptions {
  /** How long a UDP flow without datagrams is kept. */
  readonly udpIdleMs: number;
  readonly maxConnections: number;
  readonly maxUdpFlows: number;
  /** How long connections may finish when the process ends. */
  readonly drainMs: number;
  /** False to listen without redirection by the kernel. */
  readonly hasRules: boolean;
  /** Range of loopback addresses for ClusterIPs, without rules; undefined for none. */
  readonly loopback: Cidr | undefined;
  /** Path of the file with the names of the loopback addresses; undefined for none. */
  readonly hostsFile: string | undefined;
}

/** A connection takes two file descriptors, of which a process can have a million by default (fs.nr_open). */
const MAX_CONNECTIONS = 500_000;
/** A flow takes one. */
const MAX_UDP_FLOWS = 500_000;

/** 127.0.0.0/8 */
const LOOPBACK_RANGE = cidrOf(LOOPBACK.IPv4, 8);

export function readUserspaceOptions({ valuesOf, read }: OptionSource): UserspaceOptions {
  const flags = valuesOf(userspaceFlags);
  const limit = (flag: "userspace-max-connections" | "userspace-max-udp-flows", most: number) =>
    read.integer(`--${flag}`, flags[flag], 1, most);
  const range = flags["userspace-loopback"];
  const [loopback] = range === "" ? [] : read.cidrs("--userspace-loopback", [range]);
  if (loopback !== undefined && !covers(LOOPBACK_RANGE, loopback)) {
    read.wrong("--userspace-loopback", range, "a part of 127.0.0.0/8");
  }
  if (range !== "" && flags["userspace-rules"]) {
    read.wrong("--userspace-loopback", range, "left out, or used with --userspace-rules=false");
  }
  const hostsFile = flags["userspace-hosts-file"];
  if (hostsFile !== "" && range === "") {
    read.wrong("--userspace-hosts-file", hostsFile, "left out, or used with --userspace-loopback");
  }
  return {
    hostsFile: hostsFile === "" ? undefined : hostsFile,
    hasRules: flags["userspace-rules"],
    loopback,
    udpIdleMs: read.duration("--udp-timeout", flags["udp-timeout"], "positive"),
    maxConnections: limit("userspace-max-connections", MAX_CONNECTIONS),
    drainMs: read.duration("--userspace-drain-timeout", flags["userspace-drain-timeout"], "zero"),
    maxUdpFlows: limit("userspace-max-udp-flows", MAX_UDP_FLOWS),
  };
}
