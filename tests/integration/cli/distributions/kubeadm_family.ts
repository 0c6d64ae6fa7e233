import { type Distribution, everyAddress, head, noLimits, unknown } from "./distribution.ts";

/** Arguments and paths of the DaemonSet that kubeadm makes. The tools built on it differ in the configuration. */
function ofKubeadm(
  name: string,
  text: string,
  means: Record<string, unknown>,
  warnings: readonly RegExp[] = [],
): Distribution {
  const path = "/var/lib/kube-proxy/config.conf";
  return {
    name,
    args: [`--config=${path}`, "--hostname-override=NODE"],
    config: { path, text: head + text },
    kubeconfig: "service account",
    means,
    warnings,
  };
}

const clientOfKubeadm = `clientConnection:
  acceptContentTypes: ""
  burst: 0
  contentType: ""
  kubeconfig: /var/lib/kube-proxy/kubeconfig.conf
  qps: 0
`;

const kubespray = (mode: string) =>
  `bindAddress: "0.0.0.0"
clientConnection:
  acceptContentTypes:
  burst: 10
  contentType: application/vnd.kubernetes.protobuf
  kubeconfig: /var/lib/kube-proxy/kubeconfig.conf
  qps: 5
clusterCIDR: "10.233.64.0/18"
configSyncPeriod: 15m0s
conntrack:
  maxPerCore: 32768
  min: 131072
  tcpCloseWaitTimeout: 1h0m0s
  tcpEstablishedTimeout: 24h0m0s
enableProfiling: False
healthzBindAddress: "0.0.0.0:10256"
hostnameOverride: ""
iptables:
  masqueradeAll: False
  masqueradeBit: 14
  minSyncPeriod: 0s
  syncPeriod: 30s
ipvs:
  excludeCIDRs: []
  minSyncPeriod: 0s
  scheduler: rr
  syncPeriod: 30s
  strictARP: False
  tcpTimeout: 0s
  tcpFinTimeout: 0s
  udpTimeout: 0s
metricsBindAddress: "127.0.0.1:10249"
mode: ${mode}
nodePortAddresses: []
oomScoreAdj: -999
portRange:
`;

/** Distributions that let kubeadm make the DaemonSet. The providers of Cluster API do, too. */
export const kubeadmFamily: readonly Distribution[] = [
  ofKubeadm(
    "kubeadm",
    `bindAddress: 0.0.0.0
bindAddressHardFail: false
${clientOfKubeadm}clusterCIDR: 10.244.0.0/16
configSyncPeriod: 0s
conntrack:
  maxPerCore: null
  min: null
  tcpBeLiberal: false
  tcpCloseWaitTimeout: null
  tcpEstablishedTimeout: null
  udpStreamTimeout: 0s
  udpTimeout: 0s
detectLocal: { bridgeInterface: "", interfaceNamePrefix: "" }
detectLocalMode: ""
enableProfiling: false
healthzBindAddress: ""
hostnameOverride: ""
iptables: { localhostNodePorts: null, masqueradeAll: false, masqueradeBit: null, minSyncPeriod: 0s, syncPeriod: 0s }
ipvs:
  excludeCIDRs: null
  minSyncPeriod: 0s
  scheduler: ""
  strictARP: false
  syncPeriod: 0s
  tcpFinTimeout: 0s
  tcpTimeout: 0s
  udpTimeout: 0s
logging:
  flushFrequency: 0
  options: { json: { infoBufferSize: "0" }, text: { infoBufferSize: "0" } }
  verbosity: 0
metricsBindAddress: ""
mode: ""
nftables: { masqueradeAll: false, masqueradeBit: null, minSyncPeriod: 0s, syncPeriod: 0s }
nodePortAddresses: null
oomScoreAdj: null
portRange: ""
showHiddenMetricsForVersion: ""
winkernel: { enableDSR: false, forwardHealthCheckVip: false, networkName: "", rootHnsEndpointName: "", sourceVip: "" }
`,
    { mode: "nftables", clusterCIDR: "10.244.0.0/16", healthzBindAddress: "0.0.0.0:10256" },
  ),
  ofKubeadm(
    "kubeadm, IPv6 with mode nftables",
    `bindAddress: "::"\n${clientOfKubeadm}clusterCIDR: fd00:10:244::/56\nmode: nftables\n`,
    {
      mode: "nftables",
      bindAddress: "::",
      healthzBindAddress: "[::]:10256",
      metricsBindAddress: "[::1]:10249",
    },
  ),
  ofKubeadm(
    "kind",
    `metadata: { name: config }
${clientOfKubeadm}clusterCIDR: 10.244.0.0/16
mode: "iptables"
iptables: { minSyncPeriod: 1s }
conntrack: { maxPerCore: 0 }
`,
    { mode: "iptables", iptables: { minSyncPeriod: "1s" }, conntrack: { maxPerCore: 0 } },
    [unknown("metadata"), everyAddress],
  ),
  ofKubeadm(
    "kind without root privileges, dual stack",
    `metadata: { name: config }
${clientOfKubeadm}clusterCIDR: 10.244.0.0/16,fd00:10:244::/56
mode: "nftables"
conntrack: { maxPerCore: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s }
`,
    { mode: "nftables", clusterCIDR: "10.244.0.0/16,fd00:10:244::/56", conntrack: noLimits },
    [unknown("metadata")],
  ),
  ofKubeadm(
    "minikube",
    `${clientOfKubeadm}clusterCIDR: "10.244.0.0/16"
metricsBindAddress: "0.0.0.0:10249"
conntrack:
  maxPerCore: 0
# Skip setting "net.netfilter.nf_conntrack_tcp_timeout_established"
  tcpEstablishedTimeout: 0s
# Skip setting "net.netfilter.nf_conntrack_tcp_timeout_close"
  tcpCloseWaitTimeout: 0s
`,
    { metricsBindAddress: "0.0.0.0:10249", conntrack: noLimits },
  ),
  ofKubeadm(
    "kubespray",
    kubespray("ipvs"),
    { mode: "ipvs", clusterCIDR: "10.233.64.0/18", ipvs: { scheduler: "rr", syncPeriod: "30s" } },
    [everyAddress],
  ),
  ofKubeadm(
    "kubespray with mode iptables",
    kubespray("iptables"),
    { mode: "iptables", clusterCIDR: "10.233.64.0/18", iptables: { masqueradeBit: 14, syncPeriod: "30s" } },
    [everyAddress],
  ),
  ofKubeadm(
    "k0s",
    `bindAddress: 0.0.0.0
${clientOfKubeadm}clusterCIDR: 10.244.0.0/16
configSyncPeriod: 0s
featureGates:
mode: "iptables"
conntrack:
  maxPerCore: 0
  min: null
  tcpCloseWaitTimeout: null
  tcpEstablishedTimeout: null
detectLocalMode: ""
enableProfiling: false
healthzBindAddress: ""
hostnameOverride: ""
iptables: {"syncPeriod":"0s","minSyncPeriod":"0s"}
ipvs: {"strictARP":false,"syncPeriod":"0s","minSyncPeriod":"0s","tcpTimeout":"0s","tcpFinTimeout":"0s","udpTimeout":"0s"}
nftables: {"syncPeriod":"0s","minSyncPeriod":"0s"}
metricsBindAddress: 0.0.0.0:10249
nodePortAddresses: null
oomScoreAdj: null
portRange: ""
showHiddenMetricsForVersion: ""
udpIdleTimeout: 0s
winkernel: { enableDSR: false, networkName: "", sourceVip: "" }
`,
    { mode: "iptables", metricsBindAddress: "0.0.0.0:10249", conntrack: { maxPerCore: 0, min: 131072 } },
    [unknown("udpIdleTimeout"), everyAddress],
  ),
];
