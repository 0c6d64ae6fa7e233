import type { Backend, ProxyMode } from "../core/backend/contract.ts";
import { withBackendErrors } from "./backend_errors.ts";
import { EbpfBackend } from "./ebpf/backend.ts";
import type { EbpfOptions } from "./ebpf/options.ts";
import { IptablesBackend } from "./iptables/backend.ts";
import { IpvsBackend } from "./ipvs/backend.ts";
import type { IpvsOptions } from "./ipvs/options.ts";
import { NftablesBackend } from "./nftables/backend.ts";

/** What can be chosen of the modes, each by the mode's name. */
export interface ModeOptions {
  readonly ipvs: IpvsOptions;
  readonly ebpf: EbpfOptions;
}

export type Backends = ReadonlyMap<ProxyMode, (options: ModeOptions) => Backend>;

/** The modes of this build, the preferred one first. Nothing is opened until a backend is used. */
export const backends: Backends = new Map<ProxyMode, (options: ModeOptions) => Backend>([
  ["nftables", () => withBackendErrors(new NftablesBackend())],
  ["iptables", () => withBackendErrors(new IptablesBackend())],
  ["ipvs", ({ ipvs }) => withBackendErrors(new IpvsBackend(ipvs))],
  ["ebpf", ({ ebpf }) => withBackendErrors(new EbpfBackend(ebpf))],
]);
