import { ebpf } from "./ebpf_flags.ts";
import { type Flag, flag, type TypedValue } from "./flag.ts";

const source = {
  kubeconfig: flag(
    "string",
    "",
    "File that says how to reach the API server and as whom. Without it, and without --master and " +
      "--manifests, the service account of the pod is used.",
    { fields: ["clientConnection.kubeconfig"] },
  ),
  master: flag("string", "", "Address of the API server; wins over the kubeconfig's."),
  manifests: flag(
    "string",
    "",
    "Take Services and EndpointSlices from the YAML and JSON files of this directory instead of an API " +
      "server, and follow their changes. (Not in kube-proxy.)",
  ),
  "hostname-override": flag(
    "string",
    "",
    "Name of the Node this runs on. Default: the host name in lower case.",
  ),
  "kube-api-qps": flag("number", 5, "Accepted for compatibility: a handful of watches needs no limit.", {
    fields: ["clientConnection.qps"],
  }),
  "kube-api-burst": flag("int", 10, "Accepted for compatibility, as --kube-api-qps.", {
    fields: ["clientConnection.burst"],
  }),
  "kube-api-content-type": flag(
    "string",
    "application/vnd.kubernetes.protobuf",
    "Accepted for compatibility: the API server is always asked for JSON.",
    { fields: ["clientConnection.contentType"] },
  ),
  "config-sync-period": flag(
    "duration",
    "15m0s",
    "Accepted for compatibility: the watch is the only thing that refreshes what is known. More than 0.",
    { fields: ["configSyncPeriod"] },
  ),
};

const mode = {
  "proxy-mode": flag(
    "string",
    "",
    "How the kernel is made to forward: nftables, iptables, ipvs or ebpf, as far as this build has " +
      'them. Default: "nftables" (kube-proxy\'s is iptables).',
    { fields: ["mode"] },
  ),
  "feature-gates": flag(
    "switches",
    {},
    "Kubernetes features to switch, as Name=true,Name=false. Those that do nothing here are reported at " +
      "start.",
    { fields: ["featureGates"] },
  ),
};

const traffic = {
  "detect-local-mode": flag(
    "string",
    "",
    "What tells that traffic comes from a pod of this node: ClusterCIDR, NodeCIDR, BridgeInterface or " +
      'InterfaceNamePrefix. Default: "ClusterCIDR".',
    { fields: ["detectLocalMode"] },
  ),
  "cluster-cidr": flag(
    "string",
    "",
    "For ClusterCIDR: the address range of the cluster's pods, or one of each family with a comma " +
      "between.",
    { fields: ["clusterCIDR"] },
  ),
  "pod-bridge-interface": flag(
    "string",
    "",
    "For BridgeInterface: the bridge that this node's pods are behind.",
    { fields: ["detectLocal.bridgeInterface"] },
  ),
  "pod-interface-name-prefix": flag(
    "string",
    "",
    "For InterfaceNamePrefix: how the names of the interfaces of this node's pods begin.",
    { fields: ["detectLocal.interfaceNamePrefix"] },
  ),
  "nodeport-addresses": flag(
    "list",
    [],
    "Which addresses of the node answer on node ports: address ranges, and the words primary (the " +
      "Node's addresses), localhost and all. Default: primary in mode nftables, all in the others.",
    { fields: ["nodePortAddresses"] },
  ),
  "bind-address": flag(
    "ip",
    "0.0.0.0",
    "Address to take for the node's own instead of the Node's. Nothing is bound to it, despite the " +
      "name.",
    { fields: ["bindAddress"] },
  ),
  "masquerade-all": flag("bool", false, "Give all traffic to ClusterIPs the node's source address.", {
    fields: ["nftables.masqueradeAll", "iptables.masqueradeAll"],
  }),
  "iptables-masquerade-bit": flag(
    "int",
    14,
    "Bit of the packet mark (0-31) that says a connection is to be masqueraded; in every mode.",
    { fields: ["nftables.masqueradeBit", "iptables.masqueradeBit"] },
  ),
  "iptables-localhost-nodeports": flag(
    "bool",
    true,
    "Mode iptables, IPv4: node ports also answer on loopback addresses.",
    { fields: ["iptables.localhostNodePorts"] },
  ),
};

const sync = {
  "iptables-sync-period": flag(
    "duration",
    "30s",
    "Longest time until a failed synchronisation is tried again, in every mode but ipvs. More than 0.",
    { fields: ["nftables.syncPeriod", "iptables.syncPeriod"] },
  ),
  "iptables-min-sync-period": flag(
    "duration",
    "0s",
    "Least time between two synchronisations, in every mode but ipvs. 0 applies every change at once, " +
      "which costs little in mode nftables (kube-proxy's default is 1s).",
    { fields: ["nftables.minSyncPeriod", "iptables.minSyncPeriod"] },
  ),
};

const serving = {
  "healthz-bind-address": flag(
    "ip:port",
    "0.0.0.0:10256",
    'Where /healthz and /livez are served; "" serves neither.',
    { fields: ["healthzBindAddress"] },
  ),
  "metrics-bind-address": flag(
    "ip:port",
    "127.0.0.1:10249",
    'Where /metrics, /proxyMode and /configz are served; "" serves none.',
    { fields: ["metricsBindAddress"] },
  ),
  "healthz-port": flag("int", 10256, "Port for a --healthz-bind-address that has none; 0 serves nothing.", {
    deprecated: "use --healthz-bind-address",
  }),
  "metrics-port": flag("int", 10249, "Port for a --metrics-bind-address that has none; 0 serves nothing.", {
    deprecated: "use --metrics-bind-address",
  }),
  "bind-address-hard-fail": flag(
    "bool",
    false,
    "End with an error when one of these addresses cannot be listened on, instead of trying every 5s.",
    { fields: ["bindAddressHardFail"] },
  ),
  profiling: flag("bool", false, "Accepted for compatibility: this proxy has no /debug/pprof.", {
    fields: ["enableProfiling"],
  }),
  "show-hidden-metrics-for-version": flag(
    "string",
    "",
    "Previous minor version of Kubernetes, as 1.36, whose hidden metrics to show; there are none at " +
      "present.",
    { fields: ["showHiddenMetricsForVersion"] },
  ),
};

const logging = {
  v: flag("int", 0, "How much to log: 0 start, mode and failures; 2 every synchronisation; 4 every change.", {
    shorthand: "v",
  }),
  "logging-format": flag("string", "text", "text or json, one line an event, on standard error."),
  vmodule: flag("list", [], "Accepted for compatibility: there is one verbosity for all files."),
  "log-flush-frequency": flag(
    "duration",
    "5s",
    "Accepted for compatibility: lines are written as they arise.",
  ),
  "log-text-split-stream": flag("bool", false, "Accepted for compatibility: there is one stream."),
  "log-text-info-buffer-size": flag(
    "string",
    "0",
    "Accepted for compatibility: lines are written as they arise.",
  ),
  "log-json-split-stream": flag("bool", false, "Accepted for compatibility: there is one stream."),
  "log-json-info-buffer-size": flag(
    "string",
    "0",
    "Accepted for compatibility: lines are written as they arise.",
  ),
};

const host = {
  "conntrack-max-per-core": flag(
    "int",
    32768,
    "Connections the kernel may track, per CPU core; 0 leaves the limit alone.",
    { fields: ["conntrack.maxPerCore"] },
  ),
  "conntrack-min": flag(
    "int",
    131072,
    "Connections the kernel may track, at least; not used when --conntrack-max-per-core is 0.",
    { fields: ["conntrack.min"] },
  ),
  "conntrack-tcp-timeout-established": flag(
    "duration",
    "24h0m0s",
    "How long an idle TCP connection is tracked; 0 leaves it alone.",
    { fields: ["conntrack.tcpEstablishedTimeout"] },
  ),
  "conntrack-tcp-timeout-close-wait": flag(
    "duration",
    "1h0m0s",
    "How long a TCP connection in CLOSE_WAIT is tracked; 0 leaves it alone.",
    { fields: ["conntrack.tcpCloseWaitTimeout"] },
  ),
  "conntrack-tcp-be-liberal": flag("bool", false, "Do not take TCP packets outside the window for invalid.", {
    fields: ["conntrack.tcpBeLiberal"],
  }),
  "conntrack-udp-timeout": flag(
    "duration",
    "0s",
    "How long an unanswered UDP flow is tracked; 0 leaves it alone.",
    { fields: ["conntrack.udpTimeout"] },
  ),
  "conntrack-udp-timeout-stream": flag(
    "duration",
    "0s",
    "How long an idle UDP flow with answers is tracked; 0 leaves it alone.",
    { fields: ["conntrack.udpStreamTimeout"] },
  ),
  "oom-score-adj": flag(
    "int",
    -999,
    "Likelihood (-1000 to 1000) that this process is chosen when memory runs out.",
    { fields: ["oomScoreAdj"] },
  ),
};

const ipvs = {
  "ipvs-scheduler": flag("string", "", "How connections are spread. Default: rr.", {
    fields: ["ipvs.scheduler"],
  }),
  "ipvs-sync-period": flag("duration", "30s", "As --iptables-sync-period.", { fields: ["ipvs.syncPeriod"] }),
  "ipvs-min-sync-period": flag("duration", "0s", "As --iptables-min-sync-period.", {
    fields: ["ipvs.minSyncPeriod"],
  }),
  "ipvs-exclude-cidrs": flag(
    "list",
    [],
    "Address ranges whose virtual servers belong to others and are not removed.",
    { fields: ["ipvs.excludeCIDRs"] },
  ),
  "ipvs-strict-arp": flag("bool", false, "Set arp_ignore to 1 and arp_announce to 2.", {
    fields: ["ipvs.strictARP"],
  }),
  "ipvs-tcp-timeout": flag("duration", "0s", "How long an idle TCP connection is kept; 0 leaves it alone.", {
    fields: ["ipvs.tcpTimeout"],
  }),
  "ipvs-tcpfin-timeout": flag(
    "duration",
    "0s",
    "How long a TCP connection is kept after a FIN; 0 leaves it alone.",
    { fields: ["ipvs.tcpFinTimeout"] },
  ),
  "ipvs-udp-timeout": flag("duration", "0s", "How long an idle UDP flow is kept; 0 leaves it alone.", {
    fields: ["ipvs.udpTimeout"],
  }),
  "ipvs-local-fallback": flag(
    "bool",
    false,
    "Where a Local traffic policy finds no endpoint on this node, send to those of other nodes, as kube-proxy " +
      "does in this mode, instead of dropping, as it does in the others. (Not in kube-proxy.)",
    { fields: ["ipvs.localFallback"] },
  ),
};

const run = {
  config: flag(
    "string",
    "",
    "Configuration file (KubeProxyConfiguration, kubeproxy.config.k8s.io/v1alpha1). It replaces the " +
      "flags but --hostname-override, --master, --manifests and those about logging and mode ebpf, and a " +
      "change of it ends the process.",
  ),
  "write-config-to": flag("string", "", "Write the configuration in effect to this file and end."),
  cleanup: flag(
    "bool",
    false,
    "Remove what any mode of this proxy or of kube-proxy left in the kernel, and end.",
  ),
  "init-only": flag(
    "bool",
    false,
    "Do what needs full root privileges, and end. After that CAP_NET_ADMIN is enough.",
  ),
  version: flag("bool", false, "Print the version and end."),
  help: flag("bool", false, "Print this text and end.", { shorthand: "h" }),
};

/**
 * The command line as a table: kube-proxy's flags with its names and defaults (docs/behaviour.md §9.1), and ours.
 * Defaults that differ from upstream's on purpose say so in their help.
 */
export const flags = {
  ...source,
  ...mode,
  ...traffic,
  ...sync,
  ...serving,
  ...logging,
  ...host,
  ...ipvs,
  ...ebpf,
  ...run,
} satisfies Record<string, Flag>;

/** The table in the order in which the help shows it. */
export const flagGroups: readonly {
  readonly title: string;
  readonly flags: Readonly<Record<string, Flag>>;
}[] = [
  { title: "Services and endpoints", flags: source },
  { title: "Mode", flags: mode },
  { title: "Traffic", flags: traffic },
  { title: "Synchronisation", flags: sync },
  { title: "Health and metrics", flags: serving },
  { title: "Logging", flags: logging },
  { title: "Host settings", flags: host },
  { title: "Mode ipvs only", flags: ipvs },
  { title: "Mode ebpf only (not in kube-proxy)", flags: ebpf },
  { title: "What to do", flags: run },
];

export type FlagName = keyof typeof flags;

/** Every flag's value, given or default. */
export type FlagValues = { readonly [Name in FlagName]: TypedValue[typeof flags[Name]["type"]] };
