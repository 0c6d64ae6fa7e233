import { type Distribution, everyAddress, head, noClusterCidr, unknown } from "./distribution.ts";

/** Distributions with a configuration file of their own. */
export const configurationFiles: readonly Distribution[] = [
  {
    name: "EKS",
    args: ["--v=2", "--config=/var/lib/kube-proxy-config/config", "--hostname-override=NODE"],
    config: {
      path: "/var/lib/kube-proxy-config/config",
      text: `apiVersion: kubeproxy.config.k8s.io/v1alpha1
bindAddress: 0.0.0.0
clientConnection:
  acceptContentTypes: ""
  burst: 10
  contentType: application/vnd.kubernetes.protobuf
  kubeconfig: /var/lib/kube-proxy/kubeconfig
  qps: 5
clusterCIDR: ""
configSyncPeriod: 15m0s
conntrack: { maxPerCore: 32768, min: 131072, tcpCloseWaitTimeout: 1h0m0s, tcpEstablishedTimeout: 24h0m0s }
enableProfiling: false
healthzBindAddress: 0.0.0.0:10256
hostnameOverride: ""
iptables: { masqueradeAll: false, masqueradeBit: 14, minSyncPeriod: 0s, syncPeriod: 30s }
ipvs: { excludeCIDRs: null, minSyncPeriod: 0s, scheduler: "", syncPeriod: 30s }
kind: KubeProxyConfiguration
metricsBindAddress: 0.0.0.0:10249
mode: "iptables"
nodePortAddresses: null
oomScoreAdj: -998
portRange: ""
`,
    },
    kubeconfig: "service account",
    means: {
      mode: "iptables",
      metricsBindAddress: "0.0.0.0:10249",
      oomScoreAdj: -998,
      logging: { verbosity: 2 },
    },
    warnings: [noClusterCidr, everyAddress],
  },
  {
    name: "EKS on Bottlerocket",
    args: [
      "--v=2",
      "--config=/var/lib/kube-proxy-config/config",
      "--conntrack-max-per-core=0",
      "--conntrack-min=0",
    ],
    config: {
      path: "/var/lib/kube-proxy-config/config",
      text:
        `${head}clientConnection: { kubeconfig: /var/lib/kube-proxy/kubeconfig }\nclusterCIDR: 10.0.0.0/16\n`,
    },
    kubeconfig: "service account",
    // The file replaces the flags, as in kube-proxy.
    means: { conntrack: { maxPerCore: 32768, min: 131072 } },
    warnings: [/--conntrack-max-per-core has no effect/, /--conntrack-min has no effect/],
  },
  {
    name: "OpenShift with a network plugin that needs kube-proxy",
    args: ["--hostname-override", "NODE", "--config", "/config/kube-proxy-config.yaml", "-v", "4"],
    config: {
      path: "/config/kube-proxy-config.yaml",
      text: `${head}bindAddress: 0.0.0.0
clientConnection: { acceptContentTypes: "", burst: 0, contentType: "", kubeconfig: /var/lib/kube-proxy/kubeconfig, qps: 0 }
clusterCIDR: 10.128.0.0/14
configSyncPeriod: 0s
conntrack: { maxPerCore: null, min: null, tcpCloseWaitTimeout: null, tcpEstablishedTimeout: null, udpTimeout: 0s }
healthzBindAddress: 0.0.0.0:10255
iptables: { localhostNodePorts: false, masqueradeAll: false, masqueradeBit: 0, minSyncPeriod: 0s, syncPeriod: 30s }
metricsBindAddress: 0.0.0.0:29101
mode: iptables
oomScoreAdj: null
portRange: ""
resourceContainer: ""
`,
    },
    kubeconfig: "service account",
    means: { healthzBindAddress: "0.0.0.0:10255", iptables: { localhostNodePorts: false, masqueradeBit: 0 } },
    warnings: [unknown("resourceContainer"), everyAddress],
  },
  {
    name: "Gardener",
    args: ["--v=2", "--config=/var/lib/kube-proxy-config/config.yaml"],
    config: {
      path: "/var/lib/kube-proxy-config/config.yaml",
      text: `---
${head}clientConnection: { kubeconfig: /var/lib/kube-proxy/kubeconfig }
clusterCIDR: 100.64.0.0/11
mode: iptables
conntrack: { maxPerCore: 524288 }
`,
    },
    kubeconfig: "service account",
    means: { mode: "iptables", conntrack: { maxPerCore: 524288 } },
    warnings: [everyAddress],
  },
  {
    name: "a unit of systemd by hand, with a file of Kubernetes 1.15",
    args: ["--config=/etc/kubernetes/kube-proxy.conf", "--v=2"],
    config: {
      path: "/etc/kubernetes/kube-proxy.conf",
      text: `apiVersion: kubeproxy.config.k8s.io/v1alpha1
bindAddress: 0.0.0.0
clientConnection:
  acceptContentTypes: ""
  burst: 10
  contentType: application/vnd.kubernetes.protobuf
  kubeconfig: /etc/kubernetes/kube-proxy.kubeconfig
  qps: 5
clusterCIDR: 10.244.0.0/16
configSyncPeriod: 15m0s
conntrack: { max: null, maxPerCore: 32768, min: 131072, tcpCloseWaitTimeout: 1h0m0s, tcpEstablishedTimeout: 24h0m0s }
enableProfiling: false
healthzBindAddress: 0.0.0.0:10256
hostnameOverride: "node"
iptables: { masqueradeAll: false, masqueradeBit: 14, minSyncPeriod: 0s, syncPeriod: 30s }
ipvs: { masqueradeAll: true, minSyncPeriod: 5s, scheduler: "rr", syncPeriod: 30s }
kind: KubeProxyConfiguration
metricsBindAddress: 127.0.0.1:10249
mode: ""
nodePortAddresses: null
oomScoreAdj: -999
portRange: ""
resourceContainer: /kube-proxy
udpIdleTimeout: 250ms
`,
    },
    kubeconfig: "client certificate",
    means: { hostnameOverride: "node", clusterCIDR: "10.244.0.0/16" },
    warnings: [
      unknown("conntrack.max"),
      unknown("ipvs.masqueradeAll"),
      unknown("resourceContainer"),
      unknown("udpIdleTimeout"),
    ],
  },
];
