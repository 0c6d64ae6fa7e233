import { addressOf } from "../../../../backends/plans.ts";

/**
 * The network of a PacketNode:
 *
 *   outside 192.168.8.9, router 192.168.8.2 ── eth0 192.168.8.1 ── pod0 ── pods 10.1.0.1, 10.1.0.2
 *   pods of other nodes: 10.1.9.0/24 through the router; 10.1.7.0/24 through the router with an MTU of 1400;
 *   10.1.6.0/24 unreachable, 10.1.5.0/24 dropped (blackhole), 10.1.4.0/24 prohibited, 10.1.3.0/24 encapsulated,
 *   10.1.8.0/24 through the router's IPv6 address
 */
export const wiring = [
  "link set lo up",
  "link add eth0 address 02:00:00:00:00:01 type veth peer name lan",
  "link add pod0 address 02:00:00:00:01:00 type veth peer name pods",
  ...["eth0", "lan", "pod0", "pods"].map((device) => `link set ${device} up`),
  "address add 192.168.8.1/24 dev eth0",
  "address add fd00:8::1/64 dev eth0 nodad",
  "route add 10.1.0.0/24 dev pod0",
  "route add fd00:1::/64 dev pod0",
  "route add 10.1.9.0/24 via 192.168.8.2",
  "route add fd00:1:9::/64 via fd00:8::2",
  "route add 10.1.7.0/24 via 192.168.8.2 mtu lock 1400",
  "route add fd00:1:7::/64 via fd00:8::2 mtu lock 1400",
  "route add 10.1.8.0/24 via inet6 fd00:8::2 dev eth0",
  "route add unreachable 10.1.6.0/24",
  "route add blackhole 10.1.5.0/24",
  "route add prohibit 10.1.4.0/24",
  "route add 10.1.3.0/24 encap ip id 1 dst 192.168.8.2 dev eth0",
  "neigh add 192.168.8.2 lladdr 02:00:00:00:00:02 dev eth0 nud permanent",
  "neigh add 10.1.0.2 lladdr 02:00:00:00:01:02 dev pod0 nud permanent",
];

export const sysctls = [
  "net.ipv4.ip_forward=1",
  "net.ipv6.conf.all.forwarding=1",
  "net.ipv6.auto_flowlabels=0",
];

export const addresses = {
  IPv4: { nodePorts: "all", interfaceAddresses: ["192.168.8.1", "127.0.0.1"].map(addressOf) },
  IPv6: { nodePorts: "all", interfaceAddresses: ["fd00:8::1", "::1"].map(addressOf) },
} as const;

const ether = (source: string, destination: string) => `Ether(src="${source}", dst="${destination}")`;
const MACS: Readonly<Record<string, readonly [neighbour: string, own: string]>> = {
  eth0: ["02:00:00:00:00:09", "02:00:00:00:00:01"],
  pod0: ["02:00:00:00:01:01", "02:00:00:00:01:00"],
};

/** Ethernet headers of incoming packets, by device. */
export const link = Object.fromEntries(
  Object.entries(MACS).map(([device, [neighbour, own]]) => [device, ether(neighbour, own)]),
);

/** Ethernet headers of packets that are sent back, by device. */
export const linkBack = Object.fromEntries(
  Object.entries(MACS).map(([device, [neighbour, own]]) => [device, ether(own, neighbour)]),
);
