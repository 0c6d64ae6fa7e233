import { familyOf, parseAddress } from "../../net/address.ts";

/**
 * KubeProxyConfiguration, kubeproxy.config.k8s.io/v1alpha1 (docs/behaviour.md §9.2), with every default filled in.
 * --config reads it, --write-config-to writes it and /configz shows it. Flags are converted to it, too, so that the
 * effective configuration has one source. Durations are written as Go writes them.
 */
export interface ConfigDocument {
  featureGates: Readonly<Record<string, boolean>>;
  clientConnection: {
    kubeconfig: string;
    acceptContentTypes: string;
    contentType: string;
    qps: number;
    burst: number;
  };
  logging: {
    format: string;
    flushFrequency: string;
    verbosity: number;
    vmodule: readonly { readonly filePattern: string; readonly verbosity: number }[];
    options: { text: OutputRouting; json: OutputRouting };
  };
  hostnameOverride: string;
  bindAddress: string;
  /** "" when not served. */
  healthzBindAddress: string;
  /** "" when not served. */
  metricsBindAddress: string;
  /** Not in kube-proxy. */
  statusPage: boolean;
  bindAddressHardFail: boolean;
  enableProfiling: boolean;
  /** Not in kube-proxy. */
  trafficMetrics: string;
  /** Not in kube-proxy. */
  trafficMetricsMaxServices: number;
  showHiddenMetricsForVersion: string;
  mode: string;
  iptables: ModeSection & { localhostNodePorts: boolean };
  ipvs: SyncPeriods & {
    scheduler: string;
    excludeCIDRs: readonly string[];
    strictARP: boolean;
    tcpTimeout: string;
    tcpFinTimeout: string;
    udpTimeout: string;
    /** Not in kube-proxy. */
    localFallback: boolean;
  };
  nftables: ModeSection;
  winkernel: {
    networkName: string;
    sourceVip: string;
    enableDSR: boolean;
    rootHnsEndpointName: string;
    forwardHealthCheckVip: boolean;
  };
  detectLocalMode: string;
  detectLocal: { bridgeInterface: string; interfaceNamePrefix: string };
  clusterCIDR: string;
  nodePortAddresses: readonly string[];
  oomScoreAdj: number;
  conntrack: {
    maxPerCore: number;
    min: number;
    tcpEstablishedTimeout: string;
    tcpCloseWaitTimeout: string;
    tcpBeLiberal: boolean;
    udpTimeout: string;
    udpStreamTimeout: string;
  };
  configSyncPeriod: string;
  portRange: string;
  windowsRunAsService: boolean;
}

interface OutputRouting {
  splitStream: boolean;
  infoBufferSize: string;
}

interface SyncPeriods {
  syncPeriod: string;
  minSyncPeriod: string;
}

interface ModeSection extends SyncPeriods {
  masqueradeBit: number;
  masqueradeAll: boolean;
}

/** Names of the sections that a mode reads. */
export interface ModeSections {
  /** Section with the sync periods. */
  readonly periods: "nftables" | "iptables" | "ipvs";
  /** Section with masqueradeBit and masqueradeAll. */
  readonly masquerade: "nftables" | "iptables";
}

export const API_VERSION = "kubeproxy.config.k8s.io/v1alpha1";
export const KIND = "KubeProxyConfiguration";

/** kube-proxy's default mode. A blank mode reads the section of this name. */
export const KUBE_PROXY_MODE = "iptables";

export const HEALTHZ_PORT = 10256;
export const METRICS_PORT = 10249;

/**
 * The defaults of kube-proxy with one exception: minSyncPeriod is 0s instead of 1s, because applying a change at once
 * costs next to nothing here, while a delay costs everyone who waits for the change.
 */
export function defaultDocument(): ConfigDocument {
  return {
    featureGates: {},
    clientConnection: {
      kubeconfig: "",
      acceptContentTypes: "",
      contentType: "application/vnd.kubernetes.protobuf",
      qps: 5,
      burst: 10,
    },
    logging: {
      format: "text",
      flushFrequency: "5s",
      verbosity: 0,
      vmodule: [],
      options: {
        text: { splitStream: false, infoBufferSize: "0" },
        json: { splitStream: false, infoBufferSize: "0" },
      },
    },
    hostnameOverride: "",
    bindAddress: "0.0.0.0",
    ...defaultServing("0.0.0.0"),
    statusPage: true,
    bindAddressHardFail: false,
    enableProfiling: false,
    trafficMetrics: "connections",
    trafficMetricsMaxServices: 500,
    showHiddenMetricsForVersion: "",
    mode: "",
    iptables: { ...defaultModeSection(), localhostNodePorts: true },
    ipvs: {
      syncPeriod: "30s",
      minSyncPeriod: "0s",
      scheduler: "",
      excludeCIDRs: [],
      strictARP: false,
      tcpTimeout: "0s",
      tcpFinTimeout: "0s",
      udpTimeout: "0s",
      localFallback: false,
    },
    nftables: defaultModeSection(),
    winkernel: {
      networkName: "",
      sourceVip: "",
      enableDSR: false,
      rootHnsEndpointName: "",
      forwardHealthCheckVip: false,
    },
    detectLocalMode: "",
    detectLocal: { bridgeInterface: "", interfaceNamePrefix: "" },
    clusterCIDR: "",
    nodePortAddresses: [],
    oomScoreAdj: -999,
    conntrack: {
      maxPerCore: 32 * 1024,
      min: 128 * 1024,
      tcpEstablishedTimeout: "24h0m0s",
      tcpCloseWaitTimeout: "1h0m0s",
      tcpBeLiberal: false,
      udpTimeout: "0s",
      udpStreamTimeout: "0s",
    },
    configSyncPeriod: "15m0s",
    portRange: "",
    windowsRunAsService: false,
  };
}

function defaultModeSection(): ModeSection {
  return { masqueradeBit: 14, masqueradeAll: false, syncPeriod: "30s", minSyncPeriod: "0s" };
}

/** Serves health on all addresses and metrics on the loopback address, in the family of `bindAddress`. */
export function defaultServing(
  bindAddress: string,
): Pick<ConfigDocument, "healthzBindAddress" | "metricsBindAddress"> {
  const address = parseAddress(bindAddress);
  const [any, loopback] = address === undefined || familyOf(address) === "IPv4"
    ? ["0.0.0.0", "127.0.0.1"]
    : ["[::]", "[::1]"];
  return {
    healthzBindAddress: `${any}:${HEALTHZ_PORT}`,
    metricsBindAddress: `${loopback}:${METRICS_PORT}`,
  };
}
