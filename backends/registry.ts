import type { Backend, ProxyMode } from "./backend.ts";
import { NftablesBackend } from "./nftables/backend.ts";

/** The modes of this build, the preferred one first. Nothing is opened until a backend is used. */
export const backends: ReadonlyMap<ProxyMode, () => Backend> = new Map([
  ["nftables", () => new NftablesBackend()],
]);
