/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * What the programs and the proxy share: the layout of every map that more than one program uses.
 * backends/ebpf/maps/layout.ts writes and reads the same bytes; tests/backends/ebpf/layout_test.ts compares it with the
 * BTF of the compiled objects. Whoever changes a layout raises LAYOUT_VERSION there, so that a new version makes maps
 * of its own instead of taking over bytes it would misread.
 *
 * Both families share every map: an address is 16 bytes, IPv4 as ::ffff:a.b.c.d. Ports are in network order,
 * numbers in the host's. Bytes called `zero` are part of keys, so they have to be zero.
 */
#pragma once

#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

struct address {
	__be32 word[4];
};

/* ---- services: a frontend and what happens to a new connection to it ---- */

/*
 * A node port has the unspecified address of its family (::ffff:0.0.0.0 or ::): it answers on `node_addresses`.
 * One with port and protocol 0 is every ClusterIP, for what none of its service ports takes: VERDICT_REJECT and id 0.
 */
struct frontend {
	struct address address;
	__be16 port;
	__u8 protocol; /* IPPROTO_* */
	__u8 zero;
};

enum verdict {
	VERDICT_BALANCE_CLUSTER = 0,
	VERDICT_BALANCE_LOCAL = 1,
	/*
	 * externalTrafficPolicy Local: sources outside go to the local list, dropped when it is empty; this node's pods
	 * and the node itself go to the cluster list, the node's packets with its own address as source.
	 */
	VERDICT_LOCAL_EXTERNAL = 2,
	VERDICT_REJECT = 3,
	VERDICT_DROP = 4,
};

enum service_flag {
	/* Every source becomes the node's address. */
	SERVICE_MASQUERADE_ALL = 1,
	/* The source becomes the node's address unless it is a pod of this node (see struct settings). */
	SERVICE_MASQUERADE_OFF_NODE = 2,
	/* Only sources in `source_ranges` under this service's id; others are dropped. */
	SERVICE_SOURCE_RANGES = 4,
	/*
	 * The lists are Maglev tables: packets index them by a hash of the client, the same on every node. No other node
	 * ever sees a socket, so those take a slot at random here too.
	 */
	SERVICE_MAGLEV = 8,
};

/* Consecutive slots of `endpoints`. */
struct list {
	__u32 first;
	__u32 count;
};

struct service {
	/* One per service port and family, the same for all its frontends; not 0. */
	__u32 id;
	enum verdict verdict;
	__u32 flags; /* enum service_flag */
	/* Client affinity: seconds since the client's last new connection; 0 for none. */
	__u32 affinity_seconds;
	struct list cluster;
	struct list local;
	/*
	 * The endpoints a flow may stay with, whether or not new ones get there; often the cluster list itself. UDP:
	 * packets and sockets leave others. TCP: sockets are ended when theirs is not among them.
	 */
	struct list serving;
	/* Changes whenever a list does: what was chosen under another one has to be looked for in the list. */
	__u32 generation;
	/* Of the frontend and of all of the above: see find_service(). */
	__u32 check;
} __attribute__((aligned(8))); /* as in the map, so that it is copied in eights */

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1 << 17);
	__type(key, struct frontend);
	__type(value, struct service);
} services SEC(".maps");

/* ---- endpoints: slots, filled by the proxy through mmap before a service names them ---- */

enum endpoint_flag {
	/* Runs on this node. */
	ENDPOINT_LOCAL = 1,
};

struct endpoint {
	struct address address;
	__be16 port;
	__u16 zero;
	__u32 flags; /* enum endpoint_flag */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1 << 19);
	__type(key, __u32);
	__type(value, struct endpoint);
} endpoints SEC(".maps");

/* ---- node_addresses: this node's addresses ---- */

enum node_address_flag {
	/* Node ports answer here. */
	NODE_ADDRESS_PORTS = 1,
	/* An interface of the node has it: packets from it are the node's. */
	NODE_ADDRESS_OWN = 2,
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1 << 14);
	__type(key, struct address);
	__type(value, __u32); /* enum node_address_flag */
} node_addresses SEC(".maps");

/* ---- prefixes ---- */

/* Of a source range or of the cluster's service addresses; bits of the prefix: 32 of the id and those of 16 bytes. */
struct range {
	__u32 prefix;
	/* As in struct service; of `service_cidrs` 0. */
	__u32 service;
	struct address address;
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1 << 17);
	__type(key, struct range);
	__type(value, __u32); /* 1 */
} source_ranges SEC(".maps");

/* What is in one of these and belongs to no service is refused. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1 << 8);
	__type(key, struct range);
	__type(value, __u32); /* 1 */
} service_cidrs SEC(".maps");

/* ---- affinity: which endpoint was chosen for whom ---- */

enum client_kind {
	/* The client's address: packets. */
	CLIENT_ADDRESS = 0,
	/* The cookie of its network namespace, in the first two words: sockets of this node. A pod is one namespace. */
	CLIENT_NAMESPACE = 1,
	/* The cookie of a socket, in the first two words: its datagrams stay with one endpoint, affinity or not. */
	CLIENT_SOCKET = 2,
};

struct client {
	__u32 service;
	enum client_kind kind;
	struct address name;
};

/*
 * In force while `first` and `generation` are those of the service's list; else only when the list still has the
 * endpoint.
 */
struct choice {
	struct address address;
	__be16 port;
	__u16 zero;
	__u32 first;
	__u32 generation;
	__u64 used; /* bpf_ktime_get_ns() */
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1 << 16);
	__type(key, struct client);
	__type(value, struct choice);
} affinity SEC(".maps");

/* ---- counters ---- */

/* Out is from the client to the endpoint. Connections of sockets are counted without packets and bytes. */
struct traffic {
	__u64 connections;
	__u64 packets_out;
	__u64 bytes_out;
	__u64 packets_in;
	__u64 bytes_in;
};

/* By service id; an entry comes with the first connection. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1 << 17);
	__type(key, __u32);
	__type(value, struct traffic);
} counters SEC(".maps");

enum drop_reason {
	/* VERDICT_REJECT: no endpoints. */
	DROP_NO_ENDPOINTS = 0,
	/* VERDICT_DROP or an empty local list. */
	DROP_NO_LOCAL_ENDPOINTS = 1,
	/* In `service_cidrs`, but no service's. */
	DROP_NO_SERVICE = 2,
	DROP_SOURCE_RANGE = 3,
	/* No free source port for a connection that needs the node's address. */
	DROP_NO_PORT = 4,
	/* Headers that make no sense. */
	DROP_MALFORMED = 5,
	/* No route to the endpoint. */
	DROP_NO_ROUTE = 6,
	/* A fragment to a ClusterIP whose first one was not seen. */
	DROP_FRAGMENT = 7,
	/* The kernel refused a change to a map. */
	DROP_MAP_FULL = 8,
	DROP_REASONS = 16,
};

/* By enum drop_reason. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, DROP_REASONS);
	__type(key, __u32);
	__type(value, __u64);
} drops SEC(".maps");

/* ---- settings of the node ---- */

enum setting_flag {
	/* Connections to ClusterIPs get the node's address as source, whoever they are from. */
	SETTING_MASQUERADE_ALL = 1,
	/* A packet is a local pod's when its source is in `local_pods` of its family. */
	SETTING_LOCAL_BY_ADDRESS_IPV4 = 2,
	SETTING_LOCAL_BY_ADDRESS_IPV6 = 4,
	/* A packet is a local pod's when it comes from a device that is in `devices` with DEVICE_LOCAL_PODS. */
	SETTING_LOCAL_BY_DEVICE = 8,
};

/* An address is in it when address & mask == network; host bits of `network` are zero. */
struct network {
	struct address network;
	struct address mask;
};

struct settings {
	__u64 namespace; /* cookie of the node's own network namespace */
	__u32 flags; /* enum setting_flag */
	/* Source ports of masqueraded connections, host order, both included. */
	__u16 first_port;
	__u16 last_port;
	struct network local_pods_ipv4;
	struct network local_pods_ipv6;
	/* Sources of masqueraded connections, where the outgoing device has no address of the family to offer. */
	struct address source_ipv4;
	struct address source_ipv6;
	/* How long a flow is remembered without packets. Without the FIN of one side, with it: kube-proxy's close-wait. */
	__u32 tcp_established_seconds;
	__u32 tcp_closing_seconds;
	/* Before and after the first answer. */
	__u32 udp_seconds;
	__u32 udp_stream_seconds;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct settings);
} node_settings SEC(".maps");

/* ---- devices: what a packet's way in or out says about it, by the device's index ---- */

enum device_flag {
	/* What comes from here is from pods of this node (see SETTING_LOCAL_BY_DEVICE). */
	DEVICE_LOCAL_PODS = 1,
};

struct device {
	__u32 flags; /* enum device_flag */
	/* Sources of masqueraded connections that leave here; all zero where it has no address of the family. */
	struct address source_ipv4;
	struct address source_ipv6;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1 << 14);
	__type(key, __u32);
	__type(value, struct device);
} devices SEC(".maps");

/* ---- conntrack: the flows of packets, an entry for each direction ---- */

struct tuple {
	struct address source;
	struct address destination;
	__be16 source_port;
	__be16 destination_port;
	__u8 protocol; /* IPPROTO_* */
	__u8 zero[3];
};

enum flow_flag {
	/* The direction from the endpoint to the client. */
	FLOW_REPLY = 1,
	/* The frontend is a node port: its address in `services` is the unspecified one. */
	FLOW_NODE_PORT = 2,
	/* The endpoint is this node: what it answers leaves by the stack. */
	FLOW_TO_NODE = 4,
};

/* Set in both entries of a flow, and never taken back. */
enum flow_state {
	FLOW_ANSWERED = 1,
	/* Which side has sent its last byte. */
	FLOW_CLIENT_FINISHED = 2,
	FLOW_ENDPOINT_FINISHED = 4,
	FLOW_RESET = 8,
	/* The endpoint finished first: it keeps the connection in TIME_WAIT, and takes no other with the same ports well. */
	FLOW_ENDPOINT_FINISHED_FIRST = 16,
};

/* What becomes of packets with one tuple. The other direction's tuple is `translated` the other way round. */
struct flow {
	struct tuple translated;
	/* On the clock of bpf_ktime_get_coarse_ns(). */
	__u64 born; /* the same in both entries, and with the tuple unique */
	__u64 seen; /* a packet in this direction, at most a second behind */
	__u32 service; /* as in struct service */
	/* The endpoint was in the service's `serving` list as of this generation. */
	__u32 generation;
	__u32 flags; /* enum flow_flag */
	__u32 state; /* enum flow_state */
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1 << 18);
	__type(key, struct tuple);
	__type(value, struct flow);
} conntrack SEC(".maps");

/* Flows in the order in which they are looked at again, and forgotten when they are over. */
struct revisit {
	struct tuple tuple;
	__u64 born; /* as in struct flow: another flow may have the tuple by now */
	__u64 due;
};

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 1 << 17);
	__type(value, struct revisit);
} revisits SEC(".maps");

/* ---- fragments: the ports that only the first fragment of a datagram has ---- */

struct datagram {
	struct address source;
	struct address destination;
	__be32 identification;
	__u8 protocol;
	__u8 zero[3];
};

struct ports {
	__be16 source;
	__be16 destination;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1 << 12);
	__type(key, struct datagram);
	__type(value, struct ports);
} fragments SEC(".maps");
