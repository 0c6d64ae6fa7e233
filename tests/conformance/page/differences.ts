/** Programs that the scenarios run against, in the order of the columns of docs/conformance.md. */
export const subjects = [
  "kube-proxy nftables",
  "kube-proxy iptables",
  "proxy nftables",
  "proxy iptables",
  "proxy ipvs",
  "proxy ebpf",
  "proxy userspace",
] as const;
export type SubjectName = typeof subjects[number];

/** The proxy mode of a subject. */
export function modeOf(subject: SubjectName): string {
  return subject.slice(subject.lastIndexOf(" ") + 1);
}

export function isSubject(name: string): name is SubjectName {
  return subjects.some((subject) => subject === name);
}

/** A scenario that a subject does not pass. docs/conformance.md lists all of them. */
export interface Difference {
  /** File name without `.yaml`. */
  readonly scenario: string;
  readonly subject: SubjectName;
  /** Behaviour of the subject. */
  readonly actual: string;
  /** Why the scenario is right nevertheless; for this proxy, why the difference is accepted. */
  readonly reason: string;
  /** Set if the subject passes in some runs and fails in others. */
  readonly isFlaky?: true;
}

export const differences: readonly Difference[] = [
  ...inBothKubeProxyModes({
    scenario: "conntrack-last-endpoint",
    actual:
      "A flow through the NodePort keeps reaching the removed endpoint until the service has another one.",
    reason:
      "behaviour §6 cuts the flows of a service without endpoints. kube-proxy does so for the ClusterIP, " +
      "external IPs and load-balancer addresses, but does not find the conntrack entries of NodePorts.",
  }),
  ...inBothKubeProxyModes({
    scenario: "conntrack-service-deleted",
    actual: "UDP flows outlive their service or port and keep reaching its endpoint.",
    reason: "Kubernetes 1.38 cuts them. Otherwise these clients never reach the next service that gets the " +
      "address or port.",
  }),
  ...inBothKubeProxyModes({
    scenario: "conntrack-tcp-before-service",
    actual: "A connection that was begun before the service existed times out.",
    reason:
      "The service exists, but for two minutes the untranslated conntrack entry catches every further SYN " +
      "from that source port.",
  }),
  ...inBothKubeProxyModes({
    scenario: "conntrack-tcp-attempt-follows",
    actual: "An attempt goes on to the removed endpoint, and so does any other from the same source port.",
    reason:
      "The client repeats its SYN for two minutes, and each one renews the conntrack entry. If the node of the " +
      "endpoint has failed, nobody else ends the attempt.",
  }),
  ...inBothKubeProxyModes({
    scenario: "duplicate-node-port",
    actual: "The scenario cannot be set up: an API server gives a NodePort to one service only.",
    reason: "Manifests have no allocator, so it has to be defined which claim wins.",
  }),
  ...inBothKubeProxyModes({
    scenario: "duplicate-external-ip",
    actual: "It serves one of the two services, and which one is random.",
    reason: "A service that owns an address must not lose it to a later claim.",
    isFlaky: true,
  }),
  ...inBothKubeProxyModes({
    scenario: "duplicate-load-balancer-ip",
    actual: "It serves one of the two services, and which one is random.",
    reason: "Same as for duplicate-external-ip.",
    isFlaky: true,
  }),
  ...inBothKubeProxyModes({
    scenario: "slice-changes-hands",
    actual: "The former owner of the slice keeps sending to its endpoints, too.",
    reason:
      "In the API the label names the owner of a slice. kube-proxy adds an updated slice to its new owner " +
      "but never removes it from the old one.",
  }),
  ...inBothKubeProxyModes({
    scenario: "service-cidr-added",
    actual:
      "Mode nftables ignores the new range until the next full sync, up to an hour later; mode iptables " +
      "always ignores it.",
    reason: "Traffic to an unallocated address of a service range must not leave the node.",
  }),
  {
    scenario: "hairpin-of-remote-pod",
    subject: "kube-proxy nftables",
    actual: "The connection times out: the pod gets a reply from its own address.",
    reason:
      "behaviour §4.3 masquerades every endpoint that reaches itself, and mode iptables does so. The set " +
      "hairpin-connections holds the endpoints of this node only.",
  },
  {
    scenario: "hairpin-of-remote-pod",
    subject: "proxy nftables",
    actual: "Same as kube-proxy in mode nftables: the connection times out.",
    reason:
      "Same as upstream. It only happens if a node without a service proxy sends the traffic of its pods " +
      "through this node, and the cluster CIDR covers these pods. A fix would cost one set element per endpoint " +
      "of the cluster.",
  },
  {
    scenario: "no-endpoints-node-to-external",
    subject: "kube-proxy iptables",
    actual: "The node's own connections time out: KUBE-EXTERNAL-SERVICES is not hooked into OUTPUT.",
    reason:
      "behaviour §3 rejects connections to a service without endpoints from every client; mode nftables " +
      "does so.",
  },
  {
    scenario: "source-ranges-without-endpoints",
    subject: "kube-proxy iptables",
    actual: "Clients outside the ranges are rejected, not dropped.",
    reason: "A client outside the ranges should not learn whether there are endpoints; mode nftables drops.",
  },
  {
    scenario: "unserved-addresses",
    subject: "kube-proxy iptables",
    actual: "Connections to undefined ports of a ClusterIP leave by the default route and time out.",
    reason: "The address is known to be a ClusterIP, so mode nftables rejects at once.",
  },
  {
    scenario: "node-port-addresses-primary",
    subject: "kube-proxy iptables",
    actual: "Without --nodeport-addresses, NodePorts answer on every address of the node.",
    reason: "This is the default of mode iptables. The default of mode nftables is primary.",
  },
  {
    scenario: "health-check-addresses-primary",
    subject: "kube-proxy iptables",
    actual: "Without --nodeport-addresses, health-check node ports answer on every address of the node.",
    reason: "Same as for node-port-addresses-primary.",
  },
  {
    scenario: "one-address-as-external-and-load-balancer-ip",
    subject: "kube-proxy iptables",
    actual: "The rule of the external IP comes first and admits every client.",
    reason: "loadBalancerSourceRanges restrict the load-balancer address; mode nftables drops other clients.",
  },
  {
    scenario: "node-port-on-loopback",
    subject: "kube-proxy iptables",
    actual: "NodePorts answer on 127.0.0.1, because route_localnet is set.",
    reason: "Mode nftables does not set route_localnet, because it exposes loopback services to the network.",
  },
  {
    scenario: "node-port-on-loopback-of-all",
    subject: "kube-proxy iptables",
    actual: "NodePorts answer on 127.0.0.1, because route_localnet is set.",
    reason: "Same as for node-port-on-loopback.",
  },
  {
    scenario: "no-endpoints-node-to-external",
    subject: "proxy iptables",
    actual: "Same as kube-proxy in mode iptables: the node's own connections time out.",
    reason: "A fix needs a jump from OUTPUT that kube-proxy does not have; this mode keeps the rules of " +
      "kube-proxy.",
  },
  {
    scenario: "source-ranges-without-endpoints",
    subject: "proxy iptables",
    actual: "Same as kube-proxy in mode iptables: clients outside the ranges are rejected, not dropped.",
    reason:
      "kube-proxy has one rule per address without endpoints, which rejects every client; this mode keeps " +
      "the rules of kube-proxy.",
  },
  {
    scenario: "unserved-addresses",
    subject: "proxy iptables",
    actual: "Same as kube-proxy in mode iptables: undefined ports of a ClusterIP are not rejected.",
    reason:
      "The chains of kube-proxy have no rules for addresses without ports. Mode nftables rejects these ports.",
  },
  {
    scenario: "service-cidr-added",
    subject: "proxy iptables",
    actual: "Same as kube-proxy in mode iptables: there are no rules for ServiceCIDR ranges.",
    reason: "Same as for unserved-addresses.",
  },
  {
    scenario: "node-port-addresses-primary",
    subject: "proxy iptables",
    actual: "Without --nodeport-addresses, NodePorts answer on every address of the node.",
    reason: "This is kube-proxy's default in this mode, and users who migrate from it rely on it.",
  },
  {
    scenario: "health-check-addresses-primary",
    subject: "proxy iptables",
    actual: "Without --nodeport-addresses, health-check node ports answer on every address of the node.",
    reason: "Same as for node-port-addresses-primary.",
  },
  {
    scenario: "node-port-on-loopback",
    subject: "proxy iptables",
    actual: "NodePorts answer on 127.0.0.1, because route_localnet is set.",
    reason: "This is the default of this mode; --iptables-localhost-nodeports=false turns it off.",
  },
  {
    scenario: "node-port-on-loopback-of-all",
    subject: "proxy iptables",
    actual: "NodePorts answer on 127.0.0.1, because route_localnet is set.",
    reason: "Same as for node-port-on-loopback.",
  },
  {
    scenario: "short-circuit",
    subject: "proxy ipvs",
    actual: "If this node has endpoints, its pods and processes reach only these, as external clients do.",
    reason:
      "A virtual server has one list of real servers for all clients. If this node has no endpoint, the " +
      "list holds all endpoints, and external clients are dropped before they reach the virtual server " +
      "(local-without-local-endpoints).",
  },
  {
    scenario: "connections-outlive-service",
    subject: "proxy ipvs",
    actual: "Connections end with the service, node port or address they were made through.",
    reason:
      "IPVS forwards a connection only while its virtual server exists. Connections to a removed endpoint " +
      "continue (connections-outlive-endpoint).",
  },
  {
    scenario: "conntrack-tcp-before-service",
    subject: "proxy ipvs",
    actual: "Occasionally a connection that was begun before the service takes longer than five seconds.",
    reason:
      "A SYN that is repeated while the old conntrack entry exists is dropped; otherwise IPVS would let the " +
      "connection through untranslated, and it would break. The client's next SYN comes after up to eight seconds.",
    isFlaky: true,
  },
  {
    scenario: "conntrack-policy-changes",
    subject: "proxy ipvs",
    actual: "The flows continue on an endpoint that the policy allows.",
    reason:
      "A flow stays only if its endpoint is in the virtual server, with weight 0. With policy Local that " +
      "would mean every endpoint of the cluster on every node.",
  },
  {
    scenario: "affinity-expires",
    subject: "proxy ipvs",
    actual: "A client keeps its pod for up to three minutes longer than the timeout.",
    reason:
      "Persistence does not end while IPVS remembers a connection of the client, which it does for two " +
      "minutes after a TCP connection is closed; from then on it checks once per minute. No kernel setting changes " +
      "this.",
  },
  {
    scenario: "affinity-timeout-changes",
    subject: "proxy ipvs",
    actual: "A client keeps its pod for the timeout that applied when it first connected.",
    reason:
      "The new timeout applies to clients that connect from then on, with the delay of affinity-expires.",
  },
  {
    scenario: "hairpin-of-remote-pod",
    subject: "proxy ipvs",
    actual: "Same as mode nftables: the connection times out.",
    reason: "Same as for mode nftables.",
  },
  {
    scenario: "node-port-addresses-primary",
    subject: "proxy ipvs",
    actual: "Without --nodeport-addresses, NodePorts answer on every address of the node.",
    reason: "This is kube-proxy's default in this mode, and users who migrate from it rely on it.",
  },
  {
    scenario: "health-check-addresses-primary",
    subject: "proxy ipvs",
    actual: "Without --nodeport-addresses, health-check node ports answer on every address of the node.",
    reason: "Same as for node-port-addresses-primary.",
  },
  {
    scenario: "detect-local-bridge-external",
    subject: "proxy ebpf",
    actual: "All pods of this node are short-circuited, including those that are not behind the bridge.",
    reason: "A process that calls connect() here is on this node. --detect-local-mode applies to packets.",
  },
  {
    scenario: "detect-local-none",
    subject: "proxy ebpf",
    actual: "Pods of this node are short-circuited.",
    reason: "Same as for detect-local-bridge-external.",
  },
  {
    scenario: "node-port-on-loopback",
    subject: "proxy ebpf",
    actual: "NodePorts answer the node's processes on 127.0.0.1 if --nodeport-addresses names it.",
    reason: "The connection is directed to an endpoint in connect(), so no packet has a loopback address. " +
      "route_localnet, which exposes loopback services to the network, is not needed. " +
      "--iptables-localhost-nodeports=false turns it off.",
  },
  {
    scenario: "affinity-survives-restart",
    subject: "proxy userspace",
    actual: "Connections and the pods of clients with affinity end with the process.",
    reason: "Every connection ends at the process, which is what the mode is for.",
  },
  {
    scenario: "connections-survive-restart",
    subject: "proxy userspace",
    actual: "Connections and flows end with the process, and new ones are refused until the next one serves.",
    reason: "Same as for affinity-survives-restart.",
  },
  {
    scenario: "conntrack-survives-restart",
    subject: "proxy userspace",
    actual: "UDP flows get an endpoint again after a restart.",
    reason: "Same as for affinity-survives-restart.",
  },
  {
    scenario: "udp-flow-stays",
    subject: "proxy userspace",
    actual:
      "UDP flows get an endpoint again after a restart, which may be another one. Until then they stay.",
    reason: "Same as for affinity-survives-restart.",
    isFlaky: true,
  },
  {
    scenario: "node-port-on-loopback",
    subject: "proxy userspace",
    actual: "NodePorts answer the node's processes on 127.0.0.1 if --nodeport-addresses names it.",
    reason:
      "The destination is translated to another address of this node, so route_localnet, which exposes " +
      "loopback services to the network, is not needed. --iptables-localhost-nodeports=false turns it off.",
  },
  {
    scenario: "node-port-on-loopback-of-all",
    subject: "proxy userspace",
    actual: "NodePorts answer the node's processes on 127.0.0.1, which the range includes.",
    reason: "Same as for node-port-on-loopback.",
  },
];

function inBothKubeProxyModes(difference: Omit<Difference, "subject">): Difference[] {
  return [{ ...difference, subject: "kube-proxy nftables" }, {
    ...difference,
    subject: "kube-proxy iptables",
  }];
}

export function differenceOf(subject: string, scenario: string): Difference | undefined {
  return differences.find((difference) => difference.subject === subject && difference.scenario === scenario);
}
