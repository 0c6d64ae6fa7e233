/** What is put in the place of the proxy, in the order of the columns of docs/conformance.md. */
export const subjects = [
  "kube-proxy nftables",
  "kube-proxy iptables",
  "proxy nftables",
  "proxy iptables",
  "proxy ipvs",
  "proxy ebpf",
] as const;
export type SubjectName = typeof subjects[number];

/** The mode that it runs in. */
export function modeOf(subject: SubjectName): string {
  return subject.slice(subject.lastIndexOf(" ") + 1);
}

export function isSubject(name: string): name is SubjectName {
  return subjects.some((subject) => subject === name);
}

/** A scenario that a subject does not pass. docs/conformance.md shows them all. */
export interface Difference {
  /** File name without `.yaml`. */
  readonly scenario: string;
  readonly subject: SubjectName;
  readonly instead: string;
  /** Why the scenario is right all the same; or, for our own proxy, why it is left so. */
  readonly why: string;
  /** Where it depends on chance whether the subject passes. */
  readonly chance?: true;
}

export const differences: readonly Difference[] = [
  ...ofBoth({
    scenario: "conntrack-last-endpoint",
    instead: "The flow through the NodePort goes on reaching the removed endpoint until there is another.",
    why:
      "Flows through the ClusterIP, external IPs and load-balancer addresses are cut, as behaviour §6 says; " +
      "only the entries of NodePorts are not found.",
  }),
  ...ofBoth({
    scenario: "conntrack-service-deleted",
    instead: "UDP flows outlive the deletion of their service or port, and keep reaching its endpoint.",
    why: "Kubernetes 1.38 cuts them: whoever gets the address or port next would never see these clients.",
  }),
  ...ofBoth({
    scenario: "conntrack-tcp-before-service",
    instead: "A connection that was begun before the service existed times out.",
    why: "Its untranslated entry swallows every further SYN from that port for two minutes, although the " +
      "service is there.",
  }),
  ...ofBoth({
    scenario: "duplicate-node-port",
    instead: "Cannot be fed to it: an API server gives a NodePort to one service only.",
    why: "Manifests know no allocator, so which claimant wins has to be defined.",
  }),
  ...ofBoth({
    scenario: "duplicate-external-ip",
    instead: "Which of the two claimants it serves is chance.",
    why: "Whoever has an address must not lose it to a later claimant.",
    chance: true,
  }),
  ...ofBoth({
    scenario: "duplicate-load-balancer-ip",
    instead: "Which of the two claimants it serves is chance.",
    why: "As for external IPs.",
    chance: true,
  }),
  ...ofBoth({
    scenario: "slice-changes-hands",
    instead: "The service that the slice belonged to goes on sending to its endpoints, too.",
    why:
      "The API says that the label names the owner. kube-proxy files an updated slice under its new owner and " +
      "never takes it from the old one.",
  }),
  ...ofBoth({
    scenario: "service-cidr-added",
    instead:
      "The new range has no effect until the next full sync, up to an hour later; in iptables mode none at all.",
    why: "An address that is meant to be a service's and is nobody's must not leave the node.",
  }),
  {
    scenario: "hairpin-of-remote-pod",
    subject: "kube-proxy nftables",
    instead: "The connection times out: the pod gets an answer from its own address.",
    why: "behaviour §4.3 masquerades every endpoint that reaches itself, and iptables mode does. The set " +
      "hairpin-connections holds the endpoints of this node only.",
  },
  {
    scenario: "hairpin-of-remote-pod",
    subject: "proxy nftables",
    instead: "As kube-proxy in mode nftables: the connection times out.",
    why:
      "Left as upstream has it. It takes a node without a service proxy whose pods send through this node, and " +
      "a cluster CIDR that covers them; covering it would cost an element for every endpoint of the cluster.",
  },
  {
    scenario: "no-endpoints-node-to-external",
    subject: "kube-proxy iptables",
    instead: "The node's own connections time out: KUBE-EXTERNAL-SERVICES is not hooked into OUTPUT.",
    why: "behaviour §3 rejects what has no endpoints, wherever it comes from; nftables mode does.",
  },
  {
    scenario: "source-ranges-without-endpoints",
    subject: "kube-proxy iptables",
    instead: "Clients outside the ranges are refused, not dropped.",
    why: "Who is not let in should not learn whether there are endpoints; nftables mode drops.",
  },
  {
    scenario: "unserved-addresses",
    subject: "kube-proxy iptables",
    instead: "Connections to ports that a ClusterIP does not have leave by the default route, and time out.",
    why: "A ClusterIP is known to be a service's: nftables mode rejects at once.",
  },
  {
    scenario: "node-port-addresses-primary",
    subject: "kube-proxy iptables",
    instead: "Without --nodeport-addresses NodePorts answer on every address of the node.",
    why: "The default of iptables mode; that of nftables mode is primary.",
  },
  {
    scenario: "health-check-addresses-primary",
    subject: "kube-proxy iptables",
    instead: "Without --nodeport-addresses health-check node ports answer on every address of the node.",
    why: "As for NodePorts.",
  },
  {
    scenario: "one-address-as-external-and-load-balancer-ip",
    subject: "kube-proxy iptables",
    instead: "The rule of the external IP comes first, and lets everyone in.",
    why: "loadBalancerSourceRanges guard the load-balancer address; nftables mode keeps the others out.",
  },
  {
    scenario: "node-port-on-loopback",
    subject: "kube-proxy iptables",
    instead: "NodePorts answer on 127.0.0.1, by route_localnet.",
    why: "nftables mode does without: route_localnet opens loopback services to the network.",
  },
  {
    scenario: "node-port-on-loopback-of-all",
    subject: "kube-proxy iptables",
    instead: "NodePorts answer on 127.0.0.1, by route_localnet.",
    why: "As above.",
  },
  {
    scenario: "no-endpoints-node-to-external",
    subject: "proxy iptables",
    instead: "As kube-proxy in mode iptables: the node's own connections time out.",
    why:
      "It would take a jump from OUTPUT that kube-proxy does not have: this mode's rules are the known ones.",
  },
  {
    scenario: "source-ranges-without-endpoints",
    subject: "proxy iptables",
    instead: "As kube-proxy in mode iptables: clients outside the ranges are refused, not dropped.",
    why: "Without endpoints it has one rule for an address, which refuses everyone; ours are the same.",
  },
  {
    scenario: "unserved-addresses",
    subject: "proxy iptables",
    instead: "As kube-proxy in mode iptables: ports that a ClusterIP does not have are not refused.",
    why: "The layout has no place for addresses without their ports. Mode nftables refuses them.",
  },
  {
    scenario: "service-cidr-added",
    subject: "proxy iptables",
    instead: "As kube-proxy in mode iptables: ranges of ServiceCIDRs have no rules.",
    why: "As above.",
  },
  {
    scenario: "node-port-addresses-primary",
    subject: "proxy iptables",
    instead: "Without --nodeport-addresses NodePorts answer on every address of the node.",
    why: "The default of this mode: who comes from kube-proxy relies on it.",
  },
  {
    scenario: "health-check-addresses-primary",
    subject: "proxy iptables",
    instead: "Without --nodeport-addresses health-check node ports answer on every address of the node.",
    why: "As for NodePorts.",
  },
  {
    scenario: "node-port-on-loopback",
    subject: "proxy iptables",
    instead: "NodePorts answer on 127.0.0.1, by route_localnet.",
    why: "The default of this mode; --iptables-localhost-nodeports=false turns it off.",
  },
  {
    scenario: "node-port-on-loopback-of-all",
    subject: "proxy iptables",
    instead: "NodePorts answer on 127.0.0.1, by route_localnet.",
    why: "As above.",
  },
  {
    scenario: "short-circuit",
    subject: "proxy ipvs",
    instead: "With endpoints on this node, its pods and processes reach those only, as clients outside do.",
    why:
      "A virtual server has one list of endpoints for everyone. Without endpoints on this node it is the list " +
      "of all, and clients outside are dropped before it: local-without-local-endpoints.",
  },
  {
    scenario: "connections-outlive-service",
    subject: "proxy ipvs",
    instead: "They end with the service, node port or address they were made through.",
    why:
      "IPVS forwards a connection as long as its virtual server is there. Those of an endpoint that is removed " +
      "go on (connections-outlive-endpoint).",
  },
  {
    scenario: "conntrack-tcp-before-service",
    subject: "proxy ipvs",
    instead: "Now and then a connection that was begun before the service takes longer than five seconds.",
    why:
      "A SYN that is repeated before the old conntrack entry is gone is dropped, or IPVS would let the connection " +
      "through untranslated, and it would break. The client's next SYN comes after up to eight seconds.",
    chance: true,
  },
  {
    scenario: "conntrack-policy-changes",
    subject: "proxy ipvs",
    instead: "The flows go on with an endpoint that the policy allows.",
    why:
      "To stay, an endpoint has to be in the virtual server, without weight. With policy Local that would be " +
      "every endpoint of the cluster on every node.",
  },
  {
    scenario: "affinity-expires",
    subject: "proxy ipvs",
    instead: "A client keeps its pod up to three minutes longer than the timeout.",
    why:
      "Persistence does not end while IPVS remembers a connection of the client, two minutes after a TCP " +
      "connection was closed, and is looked at once a minute then. No setting of the kernel changes it.",
  },
  {
    scenario: "affinity-timeout-changes",
    subject: "proxy ipvs",
    instead: "A client keeps its pod as long as by the timeout it came with.",
    why: "The new timeout is for who comes from then on, and after connections as above.",
  },
  {
    scenario: "hairpin-of-remote-pod",
    subject: "proxy ipvs",
    instead: "As in mode nftables: the connection times out.",
    why: "As there.",
  },
  {
    scenario: "node-port-addresses-primary",
    subject: "proxy ipvs",
    instead: "Without --nodeport-addresses NodePorts answer on every address of the node.",
    why: "The default of this mode: who comes from kube-proxy relies on it.",
  },
  {
    scenario: "health-check-addresses-primary",
    subject: "proxy ipvs",
    instead: "Without --nodeport-addresses health-check node ports answer on every address of the node.",
    why: "As for NodePorts.",
  },
  {
    scenario: "detect-local-bridge-external",
    subject: "proxy ebpf",
    instead:
      "Pods of this node that are not behind the bridge are short-circuited, too, as all its pods are.",
    why: "Whoever calls connect() here is on this node. --detect-local-mode is about packets.",
  },
  {
    scenario: "detect-local-none",
    subject: "proxy ebpf",
    instead: "Pods of this node are short-circuited.",
    why: "As above.",
  },
  {
    scenario: "node-port-on-loopback",
    subject: "proxy ebpf",
    instead: "NodePorts answer the node's processes on 127.0.0.1 when --nodeport-addresses names it.",
    why:
      "They are sent to an endpoint when they connect: no packet has a loopback address, so route_localnet, " +
      "which opens loopback services to the network, is not needed. --iptables-localhost-nodeports=false turns it off.",
  },
];

function ofBoth(difference: Omit<Difference, "subject">): Difference[] {
  return [{ ...difference, subject: "kube-proxy nftables" }, {
    ...difference,
    subject: "kube-proxy iptables",
  }];
}

export function differenceOf(subject: string, scenario: string): Difference | undefined {
  return differences.find((difference) => difference.subject === subject && difference.scenario === scenario);
}
