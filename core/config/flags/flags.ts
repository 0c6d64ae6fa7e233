import type { ModeTraits } from "../../backend/mode.ts";
import { KUBE_PROXY_MODE } from "../document/document.ts";
import { flag, type FlagTable, type ValuesOf } from "./flag.ts";
import { LONGEST_DURATION } from "../document/duration.ts";
import { TRAFFIC_METRICS } from "../../plan/plan.ts";
import { AUTO, automaticModes, hasFields, listed, modesWith, nodePortDefaults } from "./mode_names.ts";

const source = {
  kubeconfig: flag(
    "string",
    "",
    "File with the address of the API server and the credentials. Without it, and without --master and " +
      "--manifests, the service account of the pod is used.",
    { fields: ["clientConnection.kubeconfig"], offers: "file" },
  ),
  master: flag("string", "", "Address of the API server. Overrides the address in the kubeconfig file."),
  manifests: flag(
    "string",
    "",
    "Read Services and EndpointSlices from the YAML and JSON files of this directory instead of an API " +
      "server, and follow changes of the files. (Not in kube-proxy.)",
    { offers: "directory" },
  ),
  "hostname-override": flag(
    "string",
    "",
    "Name of the Node this proxy runs on. Default: the host name in lower case.",
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
    "Accepted for compatibility: the proxy always asks the API server for JSON.",
    { fields: ["clientConnection.contentType"] },
  ),
  "config-sync-period": flag(
    "duration",
    "15m0s",
    "Accepted for compatibility: only the watch refreshes objects. More than 0.",
    { fields: ["configSyncPeriod"] },
  ),
};

const mode = {
  "proxy-mode": flag(
    "string",
    "",
    (modes) =>
      `How connections are forwarded: ${
        listed(modes.map(({ name }) => name), "or")
      }; or ${AUTO}, the first of ` +
      `${listed(automaticModes(modes), "and")} that can work on this node. ` +
      `Default: "${modes[0]?.name}" (kube-proxy's default is ${KUBE_PROXY_MODE}).`,
    { fields: ["mode"], offers: (modes) => [...modes.map(({ name }) => name), AUTO] },
  ),
  "feature-gates": flag(
    "switches",
    {},
    "Kubernetes features to switch, as Name=true,Name=false. The log names those without effect at startup.",
    { fields: ["featureGates"] },
  ),
};

const traffic = {
  "detect-local-mode": flag(
    "string",
    "",
    "How traffic from pods of this node is recognised: ClusterCIDR, NodeCIDR, BridgeInterface or " +
      'InterfaceNamePrefix. Default: "ClusterCIDR".',
    {
      fields: ["detectLocalMode"],
      offers: ["ClusterCIDR", "NodeCIDR", "BridgeInterface", "InterfaceNamePrefix"],
    },
  ),
  "cluster-cidr": flag(
    "string",
    "",
    "For ClusterCIDR: the address range of the cluster's pods, or one range per family, separated by a comma.",
    { fields: ["clusterCIDR"] },
  ),
  "pod-bridge-interface": flag(
    "string",
    "",
    "For BridgeInterface: the bridge that connects the pods of this node.",
    { fields: ["detectLocal.bridgeInterface"] },
  ),
  "pod-interface-name-prefix": flag(
    "string",
    "",
    "For InterfaceNamePrefix: prefix of the interface names of this node's pods.",
    { fields: ["detectLocal.interfaceNamePrefix"] },
  ),
  "nodeport-addresses": flag(
    "list",
    [],
    (modes) =>
      "Addresses of the node that answer on node ports: address ranges, and the words primary (the " +
      `Node's addresses), localhost and all. Default: ${nodePortDefaults(modes)}.`,
    { fields: ["nodePortAddresses"] },
  ),
  "bind-address": flag(
    "ip",
    "0.0.0.0",
    "Address of the node, if it is not the Node's. Nothing listens on it, despite the name.",
    { fields: ["bindAddress"] },
  ),
  "masquerade-all": flag("bool", false, "Masquerade all traffic to ClusterIPs.", {
    fields: ["nftables.masqueradeAll", "iptables.masqueradeAll"],
  }),
  "iptables-masquerade-bit": flag(
    "int",
    14,
    "Bit of the packet mark (0-31) that marks connections to masquerade, in every mode.",
    { fields: ["nftables.masqueradeBit", "iptables.masqueradeBit"] },
  ),
  "iptables-localhost-nodeports": flag(
    "bool",
    true,
    (modes) =>
      `In ${
        modesWith(modes, ({ planning }) => planning.localhostNodePorts)
      }, IPv4: node ports also answer on ` +
      "loopback addresses.",
    { fields: ["iptables.localhostNodePorts"] },
  ),
};

const syncPeriodFields = ["nftables.syncPeriod", "iptables.syncPeriod"];
const readsSyncPeriod = ({ sections }: ModeTraits) =>
  syncPeriodFields.includes(`${sections.periods}.syncPeriod`);

const sync = {
  "iptables-sync-period": flag(
    "duration",
    "30s",
    (modes) =>
      "Maximum time until a failed synchronisation is retried, in " +
      `${modesWith(modes, readsSyncPeriod)}. More than 0.`,
    { fields: syncPeriodFields },
  ),
  "iptables-min-sync-period": flag(
    "duration",
    "0s",
    (modes) =>
      `Minimum time between two synchronisations, in ${modesWith(modes, readsSyncPeriod)}. ` +
      "0 applies every change at once, which costs little (kube-proxy's default is 1s).",
    { fields: ["nftables.minSyncPeriod", "iptables.minSyncPeriod"] },
  ),
};

const serving = {
  "healthz-bind-address": flag(
    "ip:port",
    "0.0.0.0:10256",
    'Address that serves /healthz and /livez; "" serves neither.',
    { fields: ["healthzBindAddress"] },
  ),
  "metrics-bind-address": flag(
    "ip:port",
    "127.0.0.1:10249",
    'Address that serves /metrics, /proxyMode, /configz and /api/v1; "" serves none.',
    { fields: ["metricsBindAddress"] },
  ),
  "status-page": flag(
    "bool",
    true,
    "Serve a page for people at / of --metrics-bind-address. (Not in kube-proxy.)",
    { fields: ["statusPage"] },
  ),
  "healthz-port": flag("int", 10256, "Port for a --healthz-bind-address without a port; 0 serves nothing.", {
    deprecated: "use --healthz-bind-address",
  }),
  "metrics-port": flag("int", 10249, "Port for a --metrics-bind-address without a port; 0 serves nothing.", {
    deprecated: "use --metrics-bind-address",
  }),
  "bind-address-hard-fail": flag(
    "bool",
    false,
    "Exit with an error if one of these addresses is in use, instead of retrying every 5s.",
    { fields: ["bindAddressHardFail"] },
  ),
  "traffic-metrics": flag(
    "string",
    "connections",
    "What to count per service: off, connections (new and refused ones), or full (packets and bytes, too). " +
      "(Not in kube-proxy.)",
    { fields: ["trafficMetrics"], offers: TRAFFIC_METRICS },
  ),
  "traffic-metrics-max-services": flag(
    "int",
    500,
    "Number of services with metrics of their own: those with the most connections and refused packets. The others are summed up. " +
      "(Not in kube-proxy.)",
    { fields: ["trafficMetricsMaxServices"] },
  ),
  profiling: flag(
    "bool",
    false,
    "Serve profiles of the CPU and of the heap at /debug/pprof of --metrics-bind-address.",
    {
      fields: ["enableProfiling"],
    },
  ),
  "show-hidden-metrics-for-version": flag(
    "string",
    "",
    "Previous minor version of Kubernetes, as 1.36, whose hidden metrics to show. At present there are none.",
    { fields: ["showHiddenMetricsForVersion"] },
  ),
};

const logging = {
  v: flag(
    "int",
    0,
    "How much to log: 0 startup, mode and failures; 2 every synchronisation; 4 every change.",
    {
      shorthand: "v",
    },
  ),
  "logging-format": flag("string", "text", "text or json, one line per event, on standard error.", {
    offers: ["text", "json"],
  }),
  vmodule: flag("list", [], "Accepted for compatibility: all files have the same verbosity."),
  "log-flush-frequency": flag("duration", "5s", "Accepted for compatibility: lines are written at once."),
  "log-text-split-stream": flag("bool", false, "Accepted for compatibility: there is one stream."),
  "log-text-info-buffer-size": flag("string", "0", "Accepted for compatibility: lines are written at once."),
  "log-json-split-stream": flag("bool", false, "Accepted for compatibility: there is one stream."),
  "log-json-info-buffer-size": flag("string", "0", "Accepted for compatibility: lines are written at once."),
};

const host = {
  "conntrack-max-per-core": flag(
    "int",
    32768,
    "Maximum number of tracked connections per CPU core; 0 keeps the kernel's limit.",
    { fields: ["conntrack.maxPerCore"] },
  ),
  "conntrack-min": flag(
    "int",
    131072,
    "Lower bound of the limit of tracked connections. Not used if --conntrack-max-per-core is 0.",
    { fields: ["conntrack.min"] },
  ),
  "conntrack-tcp-timeout-established": flag(
    "duration",
    "24h0m0s",
    "How long an idle TCP connection is tracked; 0 keeps the kernel's value.",
    { fields: ["conntrack.tcpEstablishedTimeout"] },
  ),
  "conntrack-tcp-timeout-close-wait": flag(
    "duration",
    "1h0m0s",
    "How long a TCP connection in CLOSE_WAIT is tracked; 0 keeps the kernel's value.",
    { fields: ["conntrack.tcpCloseWaitTimeout"] },
  ),
  "conntrack-tcp-be-liberal": flag("bool", false, "Do not treat TCP packets outside the window as invalid.", {
    fields: ["conntrack.tcpBeLiberal"],
  }),
  "conntrack-udp-timeout": flag(
    "duration",
    "0s",
    "How long an unanswered UDP flow is tracked; 0 keeps the kernel's value.",
    { fields: ["conntrack.udpTimeout"] },
  ),
  "conntrack-udp-timeout-stream": flag(
    "duration",
    "0s",
    "How long an idle UDP flow with answers is tracked; 0 keeps the kernel's value.",
    { fields: ["conntrack.udpStreamTimeout"] },
  ),
  "oom-score-adj": flag(
    "int",
    -999,
    "Likelihood (-1000 to 1000) that the kernel kills this process when memory runs out.",
    { fields: ["oomScoreAdj"] },
  ),
};

const run = {
  config: flag(
    "string",
    "",
    (modes) =>
      "Configuration file (KubeProxyConfiguration, kubeproxy.config.k8s.io/v1alpha1). It replaces all " +
      `flags except --hostname-override, --master, --manifests and the flags for logging${
        modes.some(isOutsideOfFile) ? ` and ${modesWith(modes, isOutsideOfFile)}` : ""
      }. If it leaves the mode blank, --proxy-mode counts, too. A change of the file ends the process.`,
    { offers: "file" },
  ),
  "write-config-to": flag("string", "", "Write the effective configuration to this file and exit.", {
    offers: "file",
  }),
  cleanup: flag(
    "bool",
    false,
    "Remove everything that any mode of this proxy or of kube-proxy programmed in the kernel, and exit.",
  ),
  stay: flag(
    "bool",
    false,
    "After --cleanup, keep running until SIGTERM, so that a DaemonSet that cleans up every node can be waited for. " +
      "(Not in kube-proxy.)",
  ),
  "init-only": flag(
    "bool",
    false,
    "Do only what needs full root privileges, and exit. Afterwards CAP_NET_ADMIN is sufficient.",
  ),
  "wait-for-lock": flag(
    "duration",
    "0s",
    "If another proxy programs this network namespace, wait up to this time for its end and take over, instead of " +
      "exiting with an error. Without a value, there is no limit. (Not in kube-proxy.)",
    { valueIfBare: LONGEST_DURATION },
  ),
  version: flag("version", "false", "Print the version and exit. A version as value has no effect.", {
    valueIfBare: "true",
  }),
  help: flag("bool", false, "Print this text and exit.", { shorthand: "h" }),
};

/**
 * The flags of kube-proxy, with its names and defaults (docs/behaviour.md §9.1), and our own flags for all modes. The
 * help of a flag names each intended difference from kube-proxy's default.
 */
export const flags = {
  ...source,
  ...mode,
  ...traffic,
  ...sync,
  ...serving,
  ...logging,
  ...host,
  ...run,
};

export type FlagValues = ValuesOf<typeof flags>;

/** Groups of the help that come before the groups of the modes. */
export const groupsBeforeModes: readonly { readonly title: string; readonly flags: FlagTable }[] = [
  { title: "Services and endpoints", flags: source },
  { title: "Mode", flags: mode },
  { title: "Traffic", flags: traffic },
  { title: "Synchronisation", flags: sync },
  { title: "Health and metrics", flags: serving },
  { title: "Logging", flags: logging },
  { title: "Host settings", flags: host },
];

/** Groups of the help that come after the groups of the modes. */
export const groupsAfterModes: typeof groupsBeforeModes = [
  { title: "General", flags: run },
];

/** True for a mode whose flags have no fields in the configuration file. */
function isOutsideOfFile({ flags }: { readonly flags: FlagTable }): boolean {
  return Object.keys(flags).length > 0 && !hasFields(flags);
}
