import type { ConfiguredMode } from "../backend/mode.ts";
import type { Address } from "../net/address.ts";
import type { Family } from "../net/protocol.ts";
import type { ConntrackSettings } from "../node/host_settings.ts";
import type { TrafficMetrics } from "../plan/plan.ts";
import type { DetectLocal, NodePortRange } from "../plan/node_settings.ts";
import type { ConfigDocument } from "./document/document.ts";
import type { ListenAddress } from "./document/listen_address.ts";
import type { ModeChoice } from "./mode_choice.ts";

/** The effective configuration: checked, parsed, and with every default filled in (see `effectiveConfig`). */
export interface ProxyConfig {
  readonly mode: ConfiguredMode;
  /** Why `--proxy-mode=auto` selected the mode; undefined when the mode was named. */
  readonly modeChoice: Pick<ModeChoice, "reason" | "works"> | undefined;
  /** All modes of the program, `mode` included. */
  readonly modes: readonly ConfiguredMode[];
  /** Name of the Node this process runs on. */
  readonly nodeName: string;
  readonly source: SourceConfig;
  /** Replaces the Node's own address and decides the primary family; undefined to use the Node's addresses. */
  readonly bindAddress: Address | undefined;
  readonly detectLocal: DetectLocal;
  /** Never empty: holds the default of the mode when nothing is configured. */
  readonly nodePortAddresses: readonly NodePortRange[];
  /** 0-31. */
  readonly masqueradeBit: number;
  readonly masqueradeAll: boolean;
  /** Node ports answer on loopback addresses, too. Always false in modes that cannot do that. */
  readonly localhostNodePorts: boolean;
  /**
   * Families whose loopback address has TCP node ports that this process serves, because the feature gate of the mode is
   * on and `nodePortAddresses` names a loopback range of the family.
   */
  readonly localhostFamilies: readonly Family[];
  /** Maximum time until a failed sync is retried. */
  readonly syncPeriodMs: number;
  /** Minimum time between two syncs; 0 for none. */
  readonly minSyncPeriodMs: number;
  /** Undefined when not served. */
  readonly healthz: ListenAddress | undefined;
  /** Undefined when not served. */
  readonly metrics: ListenAddress | undefined;
  readonly bindAddressHardFail: boolean;
  readonly trafficMetrics: TrafficMetrics;
  /** Maximum number of Services with traffic metrics of their own. */
  readonly trafficMetricsMaxServices: number;
  readonly logging: LoggingConfig;
  readonly conntrack: ConntrackSettings;
  /** -1000 to 1000. */
  readonly oomScoreAdj: number;
  /** Exit after the part of the start that needs full privileges. */
  readonly initOnly: boolean;
  /** Maximum time to wait for the end of another proxy in this network namespace; 0 to exit at once. */
  readonly waitForLockMs: number;
  /** The file this was read from; the process ends when it changes. */
  readonly file: { readonly path: string; readonly text: string } | undefined;
  /** Values of all flags, as Go prints them, for /flagz. */
  readonly flags: Readonly<Record<string, string>>;
  /** This configuration as a document, for /configz and --write-config-to. */
  readonly document: ConfigDocument;
}

export type SourceConfig =
  | { readonly kind: "manifests"; readonly directory: string }
  | {
    readonly kind: "api";
    /** "" for none. Without a kubeconfig and a `master`, the service account of the pod is used. */
    readonly kubeconfig: string;
    /** Overrides the server of the kubeconfig; "" for none. */
    readonly master: string;
    /** Feature gate MultiCIDRServiceAllocator. */
    readonly watchServiceCidrs: boolean;
  };

export interface LoggingConfig {
  readonly format: "text" | "json";
  readonly verbosity: number;
}
