/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Maps of the node: its addresses, settings and devices. Included by maps.h. */
#pragma once

/* ---- node_addresses: this node's addresses ---- */

enum node_address_flag {
	/* Node ports are reachable on this address. */
	NODE_ADDRESS_PORTS = 1,
	/* An interface of the node has this address: packets from it are the node's own. */
	NODE_ADDRESS_OWN = 2,
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1 << 14);
	__type(key, struct address);
	__type(value, __u32); /* enum node_address_flag */
} node_addresses SEC(".maps");

/* ---- settings of the node ---- */

enum setting_flag {
	/* Connections to ClusterIPs get the node's address as source, regardless of their origin. */
	SETTING_MASQUERADE_ALL = 1,
	/* Packets whose source is in `local_pods` of their family are from local pods. */
	SETTING_LOCAL_BY_ADDRESS_IPV4 = 2,
	SETTING_LOCAL_BY_ADDRESS_IPV6 = 4,
	/* Packets from a device that has DEVICE_LOCAL_PODS in `devices` are from local pods. */
	SETTING_LOCAL_BY_DEVICE = 8,
	/*
	 * New flows of packets are left to netfilter, which has the rules of another mode: until all devices have
	 * the programs, and when they are about to be detached.
	 */
	SETTING_LEAVE_NEW_FLOWS = 16,
	/* Netfilter translates flows that began in another mode. */
	SETTING_FORMER_FLOWS = 32,
	/* Only sockets in the node's own network namespace are balanced; pods are by their packets. */
	SETTING_SOCKETS_OF_NODE = 64,
	/* The stack forwards all packets, so that the host's filter rules see them (--ebpf-forward). */
	SETTING_THROUGH_STACK = 128,
};

/* Contains an address if (address & mask) == network; host bits of `network` are zero. */
struct network {
	struct address network;
	struct address mask;
};

/* Consecutive ports, in host byte order. */
struct port_range {
	__u16 first;
	__u16 count;
};

/* The node ports and the node's own ports leave at most this many ranges. */
#define PORT_RANGES 3

struct settings {
	__u64 namespace; /* cookie of the node's own network namespace */
	__u32 flags; /* enum setting_flag */
	/* Number of ports in `source_ports`. */
	__u32 port_count;
	/* Source ports of masqueraded connections; unused ranges have count 0. */
	struct port_range source_ports[PORT_RANGES];
	struct network local_pods_ipv4;
	struct network local_pods_ipv6;
	/* Sources of masqueraded connections if the outgoing device has no usable address of the family. */
	struct address source_ipv4;
	struct address source_ipv6;
	/* Idle timeouts of TCP flows: before a FIN, and after a FIN of one side (kube-proxy's close-wait). */
	__u32 tcp_established_seconds;
	__u32 tcp_closing_seconds;
	/* Idle timeouts of UDP flows: before they are assured, and afterwards. */
	__u32 udp_seconds;
	__u32 udp_stream_seconds;
	/*
	 * Limits of ICMP errors: the interval for one source, 0 without a limit (net.ipv4.icmp_ratelimit,
	 * net.ipv6.icmp.ratelimit), and for all sources together (net.ipv4.icmp_msgs_per_sec, icmp_msgs_burst).
	 */
	__u32 icmp_interval_ms;
	__u32 icmpv6_interval_ms;
	__u32 icmp_per_second;
	__u32 icmp_burst;
	__u32 zero;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct settings);
} node_settings SEC(".maps");

/* ---- devices: properties of network devices, keyed by interface index ---- */

enum device_flag {
	/* Packets from this device are from pods of this node (see SETTING_LOCAL_BY_DEVICE). */
	DEVICE_LOCAL_PODS = 1,
	/* The stack checks whether the sources of IPv4 packets from this device are reached by it (rp_filter). */
	DEVICE_REVERSE_PATH = 2,
	/*
	 * A tunnel or another device without a link-layer header. Some of them find their far end by the route
	 * that is attached to the packet.
	 */
	DEVICE_NEEDS_ROUTE = 4,
	/*
	 * One side of a veth pair whose other side is in another network namespace, and nothing is attached here that would
	 * have to see the packets.
	 */
	DEVICE_HAS_PEER = 8,
};

struct device {
	__u32 flags; /* enum device_flag */
	/*
	 * Index of the bridge that this device is, or is a port of; 0 if there is none. Machines behind it reach each
	 * other directly.
	 */
	__u32 bridge;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1 << 14);
	__type(key, __u32);
	__type(value, struct device);
} devices SEC(".maps");

/* Addresses of a device, in the order in which the kernel lists them. */
struct device_address_key {
	__u32 device; /* interface index */
	__u16 family; /* AF_INET, AF_INET6 */
	__u16 position; /* from 0 on, without gaps */
};

struct device_address {
	struct address address;
	/* The network of the device that the address belongs to; on a point-to-point link that of the peer. */
	struct network network;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1 << 15);
	__type(key, struct device_address_key);
	__type(value, struct device_address);
} device_addresses SEC(".maps");
