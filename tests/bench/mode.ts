import type { ProxyMode } from "../../backends/registry.ts";

/** Modes with a benchmark of the backend and the process. */
export const measuredModes = ["nftables", "iptables", "ipvs"] as const satisfies readonly ProxyMode[];
export type MeasuredMode = (typeof measuredModes)[number];

/** Parses a value of --mode. @throws if it is not one of the modes. */
export function modeOf<Mode extends MeasuredMode>(name: string, modes: readonly Mode[]): Mode {
  const mode = modes.find((mode) => mode === name);
  if (mode === undefined) throw new Error(`--mode ${name}: must be one of ${modes.join(", ")}`);
  return mode;
}
