/** A network policy for one pod, as kube-router sees it on the node of the pod. */
export interface PodPolicy {
  readonly name: string;
  /** Address of the pod. */
  readonly pod: string;
  readonly direction: "ingress" | "egress";
  /** The other sides of the allowed connections: addresses or ranges. */
  readonly allowed: readonly string[];
  /** Port of the endpoint. Packets to other ports are rejected. */
  readonly port: number;
}

const hooks = ["INPUT", "FORWARD", "OUTPUT"] as const;

/**
 * Rules of kube-router's network policy controller, in the format of iptables-save. Its ipsets are
 * written out as addresses; logging and the default policy are left out.
 *
 * A new packet from or to a pod with a policy passes the chain of the pod: in FORWARD when it is routed or
 * bridged, in OUTPUT when the node sends it. A policy sets mark 0x10000 on what it allows. Packets without this
 * mark are rejected, all others get mark 0x20000 and are accepted.
 */
export function kubeRouterRules(policies: readonly PodPolicy[], serviceRange: string): string {
  return [
    "*filter",
    ...hooks.map((hook) => `:KUBE-ROUTER-${hook} - [0:0]`),
    ":KUBE-NWPLCY-COMMON - [0:0]",
    ...policies.flatMap(({ name }) => [`:KUBE-POD-FW-${name} - [0:0]`, `:KUBE-NWPLCY-${name} - [0:0]`]),
    ...hooks.map((hook) => `-I ${hook} 1 ${jump(hook)}`),
    `-A KUBE-ROUTER-INPUT -d ${serviceRange} -j RETURN`,
    ...["tcp", "udp"].map((protocol) =>
      `-A KUBE-ROUTER-INPUT -p ${protocol} -m addrtype --dst-type LOCAL -m multiport --dports 30000:32767 -j RETURN`
    ),
    "-A KUBE-NWPLCY-COMMON -m conntrack --ctstate INVALID -j DROP",
    "-A KUBE-NWPLCY-COMMON -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    ...icmpTypes(serviceRange).map((type) => `-A KUBE-NWPLCY-COMMON ${type} -j ACCEPT`),
    ...policies.flatMap(rulesOf),
    ...hooks.map((hook) => `-A KUBE-ROUTER-${hook} -m mark --mark 0x20000/0x20000 -j ACCEPT`),
    "COMMIT",
    "",
  ].join("\n");
}

/** Matches of the ICMP packets that are always allowed, in the family of an address. */
function icmpTypes(address: string): string[] {
  const common = ["echo-request", "destination-unreachable", "time-exceeded"];
  if (!address.includes(":")) return common.map((type) => `-p icmp -m icmp --icmp-type ${type}`);
  // Without neighbour discovery, the node does not find the pod.
  return [...common, "neighbor-solicitation", "neighbor-advertisement", "echo-reply"]
    .map((type) => `-p ipv6-icmp -m icmp6 --icmpv6-type ${type}`);
}

function jump(hook: typeof hooks[number]): string {
  return `-m comment --comment "kube-router netpol" -j KUBE-ROUTER-${hook}`;
}

function rulesOf({ name, pod, direction, allowed, port }: PodPolicy): string[] {
  const firewall = `KUBE-POD-FW-${name}`, policy = `KUBE-NWPLCY-${name}`;
  const own = direction === "ingress" ? `-d ${pod}` : `-s ${pod}`;
  const entered = direction === "ingress" ? ["FORWARD", "OUTPUT"] : hooks;
  return [
    `-A KUBE-ROUTER-FORWARD -m physdev --physdev-is-bridged ${own} -j ${firewall}`,
    ...entered.map((hook) => `-A KUBE-ROUTER-${hook} ${own} -j ${firewall}`),
    `-A ${firewall} -j KUBE-NWPLCY-COMMON`,
    // Kubelet must reach the pods of its node, for probes.
    ...(direction === "ingress" ? [`-A ${firewall} -m addrtype --src-type LOCAL ${own} -j ACCEPT`] : []),
    `-A ${firewall} -j ${policy}`,
    `-A ${firewall} -m mark ! --mark 0x10000/0x10000 -j REJECT`,
    `-A ${firewall} -j MARK --set-mark 0/0x10000`,
    `-A ${firewall} -j MARK --set-mark 0x20000/0x20000`,
    ...allowed.flatMap((other) => {
      const match = `${own} ${direction === "ingress" ? "-s" : "-d"} ${other} -p tcp -m tcp --dport ${port}`;
      return [
        `-A ${policy} ${match} -j MARK --set-xmark 0x10000/0x10000`,
        `-A ${policy} ${match} -m mark --mark 0x10000/0x10000 -j RETURN`,
      ];
    }),
  ];
}
