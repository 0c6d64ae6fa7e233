import type { Backend, ProxyMode } from "./backend.ts";
import { IptablesBackend } from "./iptables/backend.ts";
import { NftablesBackend } from "./nftables/backend.ts";

/** The modes of this build, the preferred one first. Nothing is opened until a backend is used. */
export const backends: ReadonlyMap<ProxyMode, () => Backend> = new Map<ProxyMode, () => Backend>([
  ["nftables", () => new NftablesBackend()],
  ["iptables", () => new IptablesBackend()],
]);
