interface Addresses {
  readonly pods: string;
  readonly clusterIP: string;
  readonly balancer: string;
  readonly range: string;
  readonly here: string;
  readonly elsewhere: string;
  readonly rejection: string;
  /** The destination of the jump to KUBE-NODEPORTS. */
  readonly nodePorts: string;
}

const addresses: Readonly<Record<"iptables" | "ip6tables", Addresses>> = {
  iptables: {
    pods: "10.244.0.0/16",
    clusterIP: "10.96.0.37/32",
    balancer: "198.51.100.28/32",
    range: "172.16.0.0/12",
    here: "10.244.1.11",
    elsewhere: "10.244.2.14",
    rejection: "icmp-port-unreachable",
    nodePorts: "",
  },
  ip6tables: {
    pods: "fd00:244::/32",
    clusterIP: "fd00:96::25/128",
    balancer: "2001:db8:f::1c/128",
    range: "fd99::/32",
    here: "[fd00:244:1::11]",
    elsewhere: "[fd00:244:2::14]",
    rejection: "icmp6-port-unreachable",
    nodePorts: "! -d ::1/128 ",
  },
};

/**
 * The rules of kube-proxy 1.37 as iptables-save prints them, for one service of type LoadBalancer with policy
 * Local, source ranges and affinity. Rules with packet counters are omitted, because a new network namespace
 * has none.
 */
export function kubeProxyListing(command: "iptables" | "ip6tables"): string {
  const { pods, clusterIP, balancer, range, here, elsewhere, rejection, nodePorts } = addresses[command];
  const host = (address: string) =>
    command === "iptables" ? `${address}/32` : `${address.replace(/[\[\]]/g, "")}/128`;
  const recent = command === "iptables"
    ? "--mask 255.255.255.255 --rsource"
    : "--mask ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff --rsource";
  return `*mangle
:KUBE-PROXY-CANARY - [0:0]
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:KUBE-EXTERNAL-SERVICES - [0:0]
:KUBE-FIREWALL - [0:0]
:KUBE-FORWARD - [0:0]
:KUBE-NODEPORTS - [0:0]
:KUBE-PROXY-CANARY - [0:0]
:KUBE-PROXY-FIREWALL - [0:0]
:KUBE-SERVICES - [0:0]
-A INPUT -j KUBE-FIREWALL
-A INPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes load balancer firewall" -j KUBE-PROXY-FIREWALL
-A INPUT -m comment --comment "kubernetes health check service ports" -j KUBE-NODEPORTS
-A INPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes externally-visible service portals" -j KUBE-EXTERNAL-SERVICES
-A FORWARD -m conntrack --ctstate NEW -m comment --comment "kubernetes load balancer firewall" -j KUBE-PROXY-FIREWALL
-A FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD
-A FORWARD -m conntrack --ctstate NEW -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A FORWARD -m conntrack --ctstate NEW -m comment --comment "kubernetes externally-visible service portals" -j KUBE-EXTERNAL-SERVICES
-A OUTPUT -j KUBE-FIREWALL
-A OUTPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes load balancer firewall" -j KUBE-PROXY-FIREWALL
-A OUTPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP
-A KUBE-FORWARD -m comment --comment "kubernetes forwarding rules" -m mark --mark 0x4000/0x4000 -j ACCEPT
-A KUBE-FORWARD -m comment --comment "kubernetes forwarding conntrack rule" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A KUBE-NODEPORTS -p tcp -m comment --comment "default/local health check node port" -m tcp --dport 31100 -j ACCEPT
-A KUBE-PROXY-FIREWALL -d ${balancer} -p tcp -m comment --comment "default/local traffic not accepted by KUBE-FW-NEXWZWH5PGMW4KIO" -m tcp --dport 80 -j DROP
-A KUBE-SERVICES -d ${clusterIP} -p tcp -m comment --comment "default/kubernetes:https has no endpoints" -m tcp --dport 443 -j REJECT --reject-with ${rejection}
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:KUBE-EXT-NEXWZWH5PGMW4KIO - [0:0]
:KUBE-FW-NEXWZWH5PGMW4KIO - [0:0]
:KUBE-MARK-MASQ - [0:0]
:KUBE-NODEPORTS - [0:0]
:KUBE-POSTROUTING - [0:0]
:KUBE-PROXY-CANARY - [0:0]
:KUBE-SEP-4ZJZ7CP336OUMFVJ - [0:0]
:KUBE-SEP-6LRWOC7K4BXUVCMX - [0:0]
:KUBE-SERVICES - [0:0]
:KUBE-SVC-NEXWZWH5PGMW4KIO - [0:0]
:KUBE-SVL-NEXWZWH5PGMW4KIO - [0:0]
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING
-A KUBE-EXT-NEXWZWH5PGMW4KIO -s ${pods} -m comment --comment "pod traffic for default/local external destinations" -j KUBE-SVC-NEXWZWH5PGMW4KIO
-A KUBE-EXT-NEXWZWH5PGMW4KIO -m comment --comment "masquerade LOCAL traffic for default/local external destinations" -m addrtype --src-type LOCAL -j KUBE-MARK-MASQ
-A KUBE-EXT-NEXWZWH5PGMW4KIO -m comment --comment "route LOCAL traffic for default/local external destinations" -m addrtype --src-type LOCAL -j KUBE-SVC-NEXWZWH5PGMW4KIO
-A KUBE-EXT-NEXWZWH5PGMW4KIO -j KUBE-SVL-NEXWZWH5PGMW4KIO
-A KUBE-FW-NEXWZWH5PGMW4KIO -s ${range} -m comment --comment "default/local loadbalancer IP" -j KUBE-EXT-NEXWZWH5PGMW4KIO
-A KUBE-FW-NEXWZWH5PGMW4KIO -m comment --comment "other traffic to default/local will be dropped by KUBE-PROXY-FIREWALL"
-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
-A KUBE-NODEPORTS -p tcp -m comment --comment "default/local" -m tcp --dport 30100 -j KUBE-EXT-NEXWZWH5PGMW4KIO
-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0
-A KUBE-POSTROUTING -m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE --random-fully
-A KUBE-SEP-4ZJZ7CP336OUMFVJ -s ${host(here)} -m comment --comment "default/local" -j KUBE-MARK-MASQ
-A KUBE-SEP-4ZJZ7CP336OUMFVJ -p tcp -m comment --comment "default/local" -m recent --set --name KUBE-SEP-4ZJZ7CP336OUMFVJ ${recent} -m tcp -j DNAT --to-destination ${here}:8080
-A KUBE-SEP-6LRWOC7K4BXUVCMX -s ${host(elsewhere)} -m comment --comment "default/local" -j KUBE-MARK-MASQ
-A KUBE-SEP-6LRWOC7K4BXUVCMX -p tcp -m comment --comment "default/local" -m recent --set --name KUBE-SEP-6LRWOC7K4BXUVCMX ${recent} -m tcp -j DNAT --to-destination ${elsewhere}:8080
-A KUBE-SERVICES -d ${clusterIP} -p tcp -m comment --comment "default/local cluster IP" -m tcp --dport 80 -j KUBE-SVC-NEXWZWH5PGMW4KIO
-A KUBE-SERVICES -d ${balancer} -p tcp -m comment --comment "default/local loadbalancer IP" -m tcp --dport 80 -j KUBE-FW-NEXWZWH5PGMW4KIO
-A KUBE-SERVICES ${nodePorts}-m comment --comment "kubernetes service nodeports; NOTE: this must be the last rule in this chain" -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS
-A KUBE-SVC-NEXWZWH5PGMW4KIO ! -s ${pods} -d ${clusterIP} -p tcp -m comment --comment "default/local cluster IP" -m tcp --dport 80 -j KUBE-MARK-MASQ
-A KUBE-SVC-NEXWZWH5PGMW4KIO -m comment --comment "default/local -> ${here}:8080" -m statistic --mode random --probability 0.50000000000 -j KUBE-SEP-4ZJZ7CP336OUMFVJ
-A KUBE-SVC-NEXWZWH5PGMW4KIO -m comment --comment "default/local -> ${elsewhere}:8080" -j KUBE-SEP-6LRWOC7K4BXUVCMX
-A KUBE-SVL-NEXWZWH5PGMW4KIO -m comment --comment "default/local -> ${here}:8080" -m recent --rcheck --seconds 600 --reap --name KUBE-SEP-4ZJZ7CP336OUMFVJ ${recent} -j KUBE-SEP-4ZJZ7CP336OUMFVJ
-A KUBE-SVL-NEXWZWH5PGMW4KIO -m comment --comment "default/local -> ${here}:8080" -j KUBE-SEP-4ZJZ7CP336OUMFVJ
COMMIT
`;
}
