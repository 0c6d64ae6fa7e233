/** Ways to configure a node that its rules depend on, each with the cluster of cluster.ts. */
export interface Variant {
  readonly name: string;
  readonly flags: readonly string[];
  readonly sysctls?: Readonly<Record<string, number>>;
}

const clusterCidr = "--cluster-cidr=10.244.0.0/16,fd00:244::/32";

export const variants: readonly Variant[] = [
  { name: "the defaults", flags: [clusterCidr] },
  { name: "no way to tell local traffic", flags: [] },
  {
    name: "everything masqueraded, with another mark, and node ports on the node's network",
    flags: [
      clusterCidr,
      "--masquerade-all=true",
      "--iptables-masquerade-bit=10",
      "--nodeport-addresses=192.168.8.0/24,fd00:8::/64",
    ],
  },
  {
    name: "local by the node's CIDR, node ports on loopback addresses of IPv4 and all of IPv6",
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
    name: "node ports on loopback only, but none there",
    flags: [clusterCidr, "--nodeport-addresses=127.0.0.0/8,::1/128", "--iptables-localhost-nodeports=false"],
  },
];
