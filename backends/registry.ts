import { ebpf } from "./ebpf/mode.ts";
import { iptables } from "./iptables/mode.ts";
import { ipvs } from "./ipvs/mode.ts";
import { nftables } from "./nftables/mode.ts";
import { userspace } from "./userspace/mode.ts";

/** The modes of this program. The first one is the default. */
export const modes = [nftables, iptables, ipvs, ebpf, userspace] as const;

export type ProxyMode = typeof modes[number]["name"];
