/** Configurations that the rules depend on. Each is tested with the cluster of cluster.ts. */
export interface Variant {
  readonly name: string;
  readonly flags: readonly string[];
  readonly sysctls?: Readonly<Record<string, number>>;
}

const CLUSTER_CIDR = "--cluster-cidr=10.244.0.0/16,fd00:244::/32";

export const variants: readonly Variant[] = [
  { name: "the defaults", flags: [CLUSTER_CIDR] },
  { name: "no detection of local traffic", flags: [] },
  {
    name: "everything masqueraded, another mark, node ports on the node's network",
    flags: [
      CLUSTER_CIDR,
      "--masquerade-all=true",
      "--iptables-masquerade-bit=10",
      "--nodeport-addresses=192.168.8.0/24,fd00:8::/64",
    ],
  },
  {
    name: "local by the node's CIDR, node ports on IPv4 loopback addresses and all IPv6 addresses",
    flags: ["--detect-local-mode=NodeCIDR", "--nodeport-addresses=127.0.0.0/8"],
  },
  {
    name: "local by bridge, no node ports on loopback, a kernel that is liberal about TCP",
    flags: [
      "--detect-local-mode=BridgeInterface",
      "--pod-bridge-interface=pods0",
      "--iptables-localhost-nodeports=false",
    ],
    sysctls: { "net.netfilter.nf_conntrack_tcp_be_liberal": 1 },
  },
  {
    name: "local by interface prefix, node ports on the primary addresses",
    flags: [
      "--detect-local-mode=InterfaceNamePrefix",
      "--pod-interface-name-prefix=pods",
      "--nodeport-addresses=primary",
    ],
  },
  {
    name: "node ports on loopback addresses only, which are disabled",
    flags: [CLUSTER_CIDR, "--nodeport-addresses=127.0.0.0/8,::1/128", "--iptables-localhost-nodeports=false"],
  },
];
