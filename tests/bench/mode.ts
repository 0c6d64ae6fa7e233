import type { ProxyMode } from "../../backends/backend.ts";

/** Modes that are measured. */
export type MeasuredMode = Extract<ProxyMode, "nftables" | "iptables">;

/** @throws when it is none of those that are measured. */
export function modeOf(name: string): MeasuredMode {
  if (name === "nftables" || name === "iptables") return name;
  throw new Error(`--mode ${name}: only nftables and iptables are measured`);
}
