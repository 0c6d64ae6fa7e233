/** Parts of the listing that differ between the families. */
interface FamilyText {
  readonly loopback: string;
  readonly pods: string;
  readonly rejection: string;
  /** The full name of a set, which is at most 31 characters long. */
  readonly set: (name: string) => string;
}

const familyTexts: Readonly<Record<"iptables" | "ip6tables", FamilyText>> = {
  iptables: {
    loopback: "127.0.0.0/8",
    pods: "10.244.0.0/16",
    rejection: "icmp-port-unreachable",
    set: (name) => `KUBE-${name}`,
  },
  ip6tables: {
    loopback: "::1/128",
    pods: "fd00:244::/32",
    rejection: "icmp6-port-unreachable",
    set: (name) => `KUBE-6-${name}`.slice(0, 31),
  },
};

/**
 * Sets by name without the prefix for the family, with the rest of the `ipset save` line. FAMILY is inet or
 * inet6.
 */
const sets: Readonly<Record<string, string>> = {
  "IPVS-IPS": "hash:ip family FAMILY",
  "CLUSTER-IP": "hash:ip,port family FAMILY",
  "LOAD-BALANCER-SOURCE-IP": "hash:ip,port,ip family FAMILY",
  "NODE-PORT-TCP": "bitmap:port range 0-65535",
  "NODE-PORT-SCTP-HASH": "hash:ip,port family FAMILY",
  "NODE-PORT-UDP": "bitmap:port range 0-65535",
  "NODE-PORT-LOCAL-SCTP-HASH": "hash:ip,port family FAMILY",
  "HEALTH-CHECK-NODE-PORT": "bitmap:port range 0-65535",
  "LOOP-BACK": "hash:ip,port,ip family FAMILY",
  "LOAD-BALANCER-FW": "hash:ip,port family FAMILY",
  "LOAD-BALANCER-LOCAL": "hash:ip,port family FAMILY",
  "NODE-PORT-LOCAL-TCP": "bitmap:port range 0-65535",
  "EXTERNAL-IP": "hash:ip,port family FAMILY",
  "EXTERNAL-IP-LOCAL": "hash:ip,port family FAMILY",
  "LOAD-BALANCER": "hash:ip,port family FAMILY",
  "LOAD-BALANCER-SOURCE-CIDR": "hash:ip,port,net family FAMILY",
  "NODE-PORT-LOCAL-UDP": "bitmap:port range 0-65535",
};

/** The sets of kube-proxy 1.37.1 in mode ipvs for both families, empty, as input of `ipset restore`. */
export function kubeProxySets(): string {
  const lines = Object.entries(sets).flatMap(([name, type]) => [
    `create ${familyTexts.iptables.set(name)} ${type.replace("FAMILY", "inet")}`,
    `create ${familyTexts.ip6tables.set(name)} ${type.replace("FAMILY", "inet6")}`,
  ]);
  return lines.join("\n") + "\n";
}

/**
 * The rules of kube-proxy 1.37.1 in mode ipvs as iptables-save prints them, for services of every type, with
 * both policies, source ranges and external addresses. The one rule with `-m ipvs` is omitted, because not
 * all kernels have that match.
 */
export function kubeProxyIpvsListing(command: "iptables" | "ip6tables"): string {
  const { loopback, pods, rejection, set } = familyTexts[command];
  const match = (name: string, by: string) => `-m set --match-set ${set(name)} ${by}`;
  const lines = [
    "*filter",
    ":INPUT ACCEPT [0:0]",
    ":FORWARD ACCEPT [0:0]",
    ":OUTPUT ACCEPT [0:0]",
    ":KUBE-FORWARD - [0:0]",
    ":KUBE-IPVS-FILTER - [0:0]",
    ":KUBE-IPVS-OUT-FILTER - [0:0]",
    ":KUBE-NODE-PORT - [0:0]",
    ":KUBE-PROXY-FIREWALL - [0:0]",
    ":KUBE-SOURCE-RANGES-FIREWALL - [0:0]",
    '-A INPUT -m comment --comment "kubernetes ipvs access filter" -j KUBE-IPVS-FILTER',
    '-A INPUT -m comment --comment "kube-proxy firewall rules" -j KUBE-PROXY-FIREWALL',
    '-A INPUT -m comment --comment "kubernetes health check rules" -j KUBE-NODE-PORT',
    '-A FORWARD -m comment --comment "kube-proxy firewall rules" -j KUBE-PROXY-FIREWALL',
    '-A FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD',
    '-A OUTPUT -m comment --comment "kubernetes ipvs access filter" -j KUBE-IPVS-OUT-FILTER',
    '-A KUBE-FORWARD -m comment --comment "kubernetes forwarding rules" -m mark --mark 0x4000/0x4000 -j ACCEPT',
    '-A KUBE-FORWARD -m comment --comment "kubernetes forwarding conntrack rule" ' +
    "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    `-A KUBE-IPVS-FILTER ${match("LOAD-BALANCER", "dst,dst")} -j RETURN`,
    `-A KUBE-IPVS-FILTER ${match("CLUSTER-IP", "dst,dst")} -j RETURN`,
    `-A KUBE-IPVS-FILTER ${match("EXTERNAL-IP", "dst,dst")} -j RETURN`,
    `-A KUBE-IPVS-FILTER ${match("EXTERNAL-IP-LOCAL", "dst,dst")} -j RETURN`,
    `-A KUBE-IPVS-FILTER ${match("HEALTH-CHECK-NODE-PORT", "dst")} -j RETURN`,
    `-A KUBE-IPVS-FILTER -m conntrack --ctstate NEW ${match("IPVS-IPS", "dst")} ` +
    `-j REJECT --reject-with ${rejection}`,
    `-A KUBE-NODE-PORT -m comment --comment "Kubernetes health check node port" ` +
    `${match("HEALTH-CHECK-NODE-PORT", "dst")} -j ACCEPT`,
    `-A KUBE-PROXY-FIREWALL ${comment("load balancer ip + port for load balancer with sourceRange")} ` +
    `${match("LOAD-BALANCER-FW", "dst,dst")} -j KUBE-SOURCE-RANGES-FIREWALL`,
    "-A KUBE-SOURCE-RANGES-FIREWALL " +
    `${comment("load balancer ip + port + source cidr for packet filter purpose")} ` +
    `${match("LOAD-BALANCER-SOURCE-CIDR", "dst,dst,src")} -j RETURN`,
    "-A KUBE-SOURCE-RANGES-FIREWALL -j DROP",
    "COMMIT",
    "*nat",
    ":PREROUTING ACCEPT [0:0]",
    ":INPUT ACCEPT [0:0]",
    ":OUTPUT ACCEPT [0:0]",
    ":POSTROUTING ACCEPT [0:0]",
    ":KUBE-LOAD-BALANCER - [0:0]",
    ":KUBE-MARK-MASQ - [0:0]",
    ":KUBE-NODE-PORT - [0:0]",
    ":KUBE-POSTROUTING - [0:0]",
    ":KUBE-SERVICES - [0:0]",
    '-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES',
    '-A OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES',
    '-A POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING',
    `-A KUBE-LOAD-BALANCER ${comment("load balancer ip + port with externalTrafficPolicy=local")} ` +
    `${match("LOAD-BALANCER-LOCAL", "dst,dst")} -j RETURN`,
    "-A KUBE-LOAD-BALANCER -j KUBE-MARK-MASQ",
    "-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000",
    ...["tcp", "udp"].flatMap((protocol) => {
      const name = protocol.toUpperCase();
      const text = `-p ${protocol} -m comment --comment "Kubernetes nodeport ${name} port`;
      return [
        `-A KUBE-NODE-PORT ${text} with externalTrafficPolicy=local" ` +
        `${match(`NODE-PORT-LOCAL-${name}`, "dst")} -j RETURN`,
        `-A KUBE-NODE-PORT ${text} for masquerade purpose" ${
          match(`NODE-PORT-${name}`, "dst")
        } -j KUBE-MARK-MASQ`,
      ];
    }),
    `-A KUBE-NODE-PORT -p sctp ${match("NODE-PORT-LOCAL-SCTP-HASH", "dst,dst")} -j RETURN`,
    `-A KUBE-NODE-PORT -p sctp ${match("NODE-PORT-SCTP-HASH", "dst,dst")} -j KUBE-MARK-MASQ`,
    '-A KUBE-POSTROUTING -m comment --comment "Kubernetes endpoints dst ip:port, source ip for solving hairpin ' +
    `purpose" ${match("LOOP-BACK", "dst,dst,src")} -j MASQUERADE`,
    "-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN",
    "-A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0",
    '-A KUBE-POSTROUTING -m comment --comment "kubernetes service traffic requiring SNAT" ' +
    "-j MASQUERADE --random-fully",
    `-A KUBE-SERVICES -s ${loopback} -j RETURN`,
    `-A KUBE-SERVICES ${comment("lb portal")} ${match("LOAD-BALANCER", "dst,dst")} -j KUBE-LOAD-BALANCER`,
    `-A KUBE-SERVICES ! -s ${pods} ${comment("cluster ip + port for masquerade purpose")} ` +
    `${match("CLUSTER-IP", "dst,dst")} -j KUBE-MARK-MASQ`,
    `-A KUBE-SERVICES ${comment("external ip + port for masquerade and filter purpose")} ` +
    `${match("EXTERNAL-IP", "dst,dst")} -j KUBE-MARK-MASQ`,
    ...["EXTERNAL-IP", "EXTERNAL-IP-LOCAL"].flatMap((name) => [
      `-A KUBE-SERVICES ${match(name, "dst,dst")} -m physdev ! --physdev-is-in ` +
      "-m addrtype ! --src-type LOCAL -j ACCEPT",
      `-A KUBE-SERVICES ${match(name, "dst,dst")} -m addrtype --dst-type LOCAL -j ACCEPT`,
    ]),
    "-A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODE-PORT",
    `-A KUBE-SERVICES ${match("CLUSTER-IP", "dst,dst")} -j ACCEPT`,
    `-A KUBE-SERVICES ${match("LOAD-BALANCER", "dst,dst")} -j ACCEPT`,
    "COMMIT",
  ];
  return lines.join("\n") + "\n";
}

function comment(what: string): string {
  return `-m comment --comment "Kubernetes service ${what}"`;
}

/** Removes the rules that match sets, for kernels without ip_set. */
export function withoutSets(listing: string): string {
  return listing.split("\n").filter((line) => !line.includes("--match-set")).join("\n");
}
