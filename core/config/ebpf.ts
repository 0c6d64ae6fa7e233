import type { ProxyMode } from "../backend/contract.ts";
import { balancings } from "../objects/objects.ts";
import type { ConntrackConfig, EbpfConfig } from "./config.ts";
import { FieldReader } from "./document/field_reader.ts";
import type { FlagValues } from "./flags/flags.ts";

/** The most entries that the kernel takes for a map of this kind is far above; this is 1.6 GB of endpoints. */
const MOST_ROOM = 1 << 26;

/** Flags of mode ebpf. Checked in that mode only: elsewhere nothing but cleanup uses them. */
export function readEbpf(
  flags: FlagValues,
  timeouts: ConntrackConfig,
  mode: ProxyMode,
  read: FieldReader,
): EbpfConfig {
  const checked = mode === "ebpf" ? read : new FieldReader((field) => field);
  const room = (flag: "frontends" | "endpoints" | "connections" | "clients") =>
    checked.integer(`--ebpf-most-${flag}`, flags[`ebpf-most-${flag}`], 1, MOST_ROOM);
  const maglevTableSize = flags["ebpf-maglev-table-size"];
  if (!isPrime(maglevTableSize)) {
    checked.wrong("--ebpf-maglev-table-size", maglevTableSize, "a prime, such as 251, 1021, 4093 or 65537");
  }
  return {
    bpffs: absolute("--ebpf-bpffs", flags["ebpf-bpffs"], checked),
    cgroup: flags["ebpf-cgroup"] === "" ? "" : absolute("--ebpf-cgroup", flags["ebpf-cgroup"], checked),
    devices: flags["ebpf-devices"],
    balancing: checked.choice("--ebpf-balancing", flags["ebpf-balancing"], balancings),
    maglevTableSize,
    room: {
      frontends: room("frontends"),
      endpoints: room("endpoints"),
      connections: room("connections"),
      clients: room("clients"),
    },
    timeouts,
  };
}

function absolute(flag: string, path: string, read: FieldReader): string {
  if (!/^(\/[^/]+)+$/.test(path)) read.wrong(flag, path, "an absolute path, without a slash at its end");
  return path;
}

/** Primality by trial: sizes are small. */
function isPrime(number: number): boolean {
  if (!Number.isInteger(number) || number < 2) return false;
  for (let factor = 2; factor * factor <= number; factor++) if (number % factor === 0) return false;
  return true;
}
