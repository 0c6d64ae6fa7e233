import type { ProxyMode } from "../../core/backend/contract.ts";

/** Modes that are measured. */
export const measuredModes = ["nftables", "iptables", "ipvs"] as const satisfies readonly ProxyMode[];
export type MeasuredMode = (typeof measuredModes)[number];

/** @throws when it is none of those. */
export function modeOf<Mode extends MeasuredMode>(name: string, modes: readonly Mode[]): Mode {
  const mode = modes.find((mode) => mode === name);
  if (mode === undefined) throw new Error(`--mode ${name}: only ${modes.join(" and ")} are measured`);
  return mode;
}
