import type { OptionSource } from "../../core/backend/mode.ts";
import { userspaceFlags } from "./flags.ts";

/** Options of mode userspace. */
export interface UserspaceOptions {
  /** How long a UDP flow without datagrams is kept. */
  readonly udpIdleMs: number;
  readonly maxConnections: number;
  readonly maxUdpFlows: number;
  /** How long connections may finish when the process ends. */
  readonly drainMs: number;
}

/** A connection takes two file descriptors, of which a process can have a million by default (fs.nr_open). */
const MAX_CONNECTIONS = 500_000;
/** A flow takes one. */
const MAX_UDP_FLOWS = 500_000;

export function readUserspaceOptions({ valuesOf, read }: OptionSource): UserspaceOptions {
  const flags = valuesOf(userspaceFlags);
  const limit = (flag: "userspace-max-connections" | "userspace-max-udp-flows", most: number) =>
    read.integer(`--${flag}`, flags[flag], 1, most);
  return {
    udpIdleMs: read.duration("--udp-timeout", flags["udp-timeout"], "positive"),
    maxConnections: limit("userspace-max-connections", MAX_CONNECTIONS),
    drainMs: read.duration("--userspace-drain-timeout", flags["userspace-drain-timeout"], "zero"),
    maxUdpFlows: limit("userspace-max-udp-flows", MAX_UDP_FLOWS),
  };
}
