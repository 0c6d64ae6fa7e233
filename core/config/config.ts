import type { ProxyMode } from "../backend/contract.ts";
import type { Address, Cidr } from "../net/address.ts";
import type { Balancing } from "../objects/objects.ts";
import type { ConfigDocument } from "./document/document.ts";
import type { ListenAddress } from "./document/listen_address.ts";

/** What the process is to do: every default filled in, everything checked and parsed (see `effectiveConfig`). */
export interface ProxyConfig {
  readonly mode: ProxyMode;
  /** Name of the Node this runs on. */
  readonly nodeName: string;
  readonly source: SourceConfig;
  /** Stands in for the node's own address and decides the primary family; undefined to take the Node's. */
  readonly bindAddress: Address | undefined;
  readonly localTraffic: LocalTrafficConfig;
  /** Empty means every local address (docs/behaviour.md §4.4). */
  readonly nodePortAddresses: readonly NodePortAddress[];
  /** 0-31. */
  readonly masqueradeBit: number;
  readonly masqueradeAll: boolean;
  /** Modes iptables and ebpf only: node ports on loopback addresses. */
  readonly localhostNodePorts: boolean;
  /** Longest time until a failed sync is tried again. */
  readonly syncPeriodMs: number;
  /** Least time between two syncs; 0 for none. */
  readonly minSyncPeriodMs: number;
  /** Gate MultiCIDRServiceAllocator. */
  readonly watchServiceCidrs: boolean;
  /** Undefined: not served. */
  readonly healthz: ListenAddress | undefined;
  /** Undefined: not served. */
  readonly metrics: ListenAddress | undefined;
  readonly bindAddressHardFail: boolean;
  readonly logging: LoggingConfig;
  readonly conntrack: ConntrackConfig;
  readonly oomScoreAdj: number;
  readonly ipvs: IpvsConfig;
  readonly ebpf: EbpfConfig;
  /** End after what needs full privileges. */
  readonly initOnly: boolean;
  /** The file this was read from, to notice when it changes. */
  readonly file: { readonly path: string; readonly text: string } | undefined;
  /** The same as a document: for /configz and --write-config-to. */
  readonly document: ConfigDocument;
}

export type SourceConfig =
  | { readonly kind: "manifests"; readonly directory: string }
  | {
    readonly kind: "api";
    /** "" for none; with `master` "" too, the pod's service account. */
    readonly kubeconfig: string;
    /** Wins over the kubeconfig's server; "" for none. */
    readonly master: string;
    /** Requests a second on average, and at once. */
    readonly qps: number;
    readonly burst: number;
  };

/** How to recognise traffic from this node's pods (docs/behaviour.md §4.2). */
export type LocalTrafficConfig =
  /** At most one of each family; none for a family means that it cannot be told there. */
  | { readonly mode: "ClusterCIDR"; readonly cidrs: readonly Cidr[] }
  | { readonly mode: "NodeCIDR" }
  | { readonly mode: "BridgeInterface"; readonly interface: string }
  | { readonly mode: "InterfaceNamePrefix"; readonly prefix: string };

export type NodePortAddress = "primary" | "localhost" | "all" | Cidr;

export interface LoggingConfig {
  readonly format: "text" | "json";
  readonly verbosity: number;
}

/** docs/behaviour.md §9.4; a 0 leaves the kernel's value alone. */
export interface ConntrackConfig {
  readonly maxPerCore: number;
  readonly min: number;
  readonly tcpEstablishedTimeoutMs: number;
  readonly tcpCloseWaitTimeoutMs: number;
  readonly tcpBeLiberal: boolean;
  readonly udpTimeoutMs: number;
  readonly udpStreamTimeoutMs: number;
}

export interface IpvsConfig {
  /** "" for the kernel module's rr. */
  readonly scheduler: string;
  readonly excludeCidrs: readonly Cidr[];
  readonly strictArp: boolean;
  /** Local traffic policies that find no endpoint on this node use those of other nodes, as kube-proxy does. */
  readonly localFallback: boolean;
  /** 0 leaves the kernel's value alone. */
  readonly tcpTimeoutMs: number;
  readonly tcpFinTimeoutMs: number;
  readonly udpTimeoutMs: number;
}

/** Mode ebpf: what its flags say. Upstream's configuration file has no place for it. */
export interface EbpfConfig {
  readonly bpffs: string;
  /** "" for the root of cgroup v2. */
  readonly cgroup: string;
  /** Empty for all but loopback. */
  readonly devices: readonly string[];
  /** Of services that do not ask for one themselves. */
  readonly balancing: Balancing;
  /** A prime. */
  readonly maglevTableSize: number;
  readonly room: {
    readonly frontends: number;
    readonly endpoints: number;
    readonly connections: number;
    readonly clients: number;
  };
  /** 0 for the kernel's own. */
  readonly timeouts: Pick<
    ConntrackConfig,
    "tcpEstablishedTimeoutMs" | "tcpCloseWaitTimeoutMs" | "udpTimeoutMs" | "udpStreamTimeoutMs"
  >;
}
