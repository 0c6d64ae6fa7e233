/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Layouts of the maps that the programs share with the proxy or with each other.
 *
 * backends/ebpf/maps/layout.ts writes and reads the same bytes, and tests/backends/ebpf/layout_test.ts
 * compares it with the BTF of the compiled objects. A change of a layout must increment LAYOUT_VERSION there,
 * so that a new version creates its own maps instead of taking over bytes that it would misread.
 *
 * Both families share every map: an address takes 16 bytes, IPv4 as ::ffff:a.b.c.d. Ports are in network byte
 * order, numbers in host byte order. Members called `zero` are part of keys and must be zero.
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
 * A node port has the unspecified address of its family (::ffff:0.0.0.0 or ::) and is reachable on
 * `node_addresses`. Each ClusterIP also has an entry with port 0 and protocol 0, VERDICT_REJECT and id 0. It
 * applies to all ports that none of the service ports uses.
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
	 * externalTrafficPolicy Local. Traffic from outside goes to the local list and is dropped if that is
	 * empty. Traffic from this node's pods and from the node itself goes to the cluster list; the node's
	 * packets get the node's address as source.
	 */
	VERDICT_LOCAL_EXTERNAL = 2,
	VERDICT_REJECT = 3,
	VERDICT_DROP = 4,
};

/* The destination is not the business of services. */
#define NO_VERDICT (-1)

enum service_flag {
	/* Replace every source by the node's address. */
	SERVICE_MASQUERADE_ALL = 1,
	/* Replace the source by the node's address unless it is a pod of this node (see struct settings). */
	SERVICE_MASQUERADE_OFF_NODE = 2,
	/* Drop sources that are not in `source_ranges` under this service's id. */
	SERVICE_SOURCE_RANGES = 4,
	/*
	 * The lists are Maglev tables. Packets index them by a hash of the client, which is the same on every
	 * node. Sockets take a random slot here too, because no other node ever has to find their endpoint.
	 */
	SERVICE_MAGLEV = 8,
	/* The enum frontend_kind, in two bits from this one on. */
	SERVICE_KIND = 16,
};

/* Kinds of frontends, whose traffic is counted apart. */
enum frontend_kind {
	FRONTEND_CLUSTER_IP = 0,
	FRONTEND_EXTERNAL_IP = 1,
	FRONTEND_LOAD_BALANCER_IP = 2,
	FRONTEND_NODE_PORT = 3,
	FRONTEND_KINDS = 4,
};

/* Consecutive slots of `endpoints`. */
struct list {
	__u32 first;
	__u32 count;
};

struct service {
	/*
	 * One per service port and family, shared by all its frontends; never 0. The id of a deleted service is
	 * not assigned again, because flows, clients and sockets refer to it.
	 */
	__u32 id;
	enum verdict verdict;
	__u32 flags; /* enum service_flag */
	/* Session affinity lasts this many seconds after the client's last new connection; 0: no affinity. */
	__u32 affinity_seconds;
	struct list cluster;
	struct list local;
	/*
	 * Endpoints that existing flows may stay with, whether or not they get new flows; often the cluster
	 * list itself. UDP packets and sockets leave all other endpoints. TCP sockets are ended if their
	 * endpoint is not in this list.
	 */
	struct list serving;
	/*
	 * Changes whenever a list changes: a choice made under another generation must be looked up in the
	 * list. No other service and no later process uses the same one.
	 */
	__u32 generation;
	/* Checksum over the frontend and all members above: see find_service(). */
	__u32 check;
} __attribute__((aligned(8))); /* as in the map, so that it is copied in units of 8 bytes */

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1 << 17);
	__type(key, struct frontend);
	__type(value, struct service);
} services SEC(".maps");

/* ---- identity: numbers that no process assigns twice ---- */

/* In memory that the proxy maps, so that a number is taken before anything refers to it. */
struct identity {
	__u32 last_id;         /* in struct service */
	__u32 last_generation; /* in struct service */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct identity);
} identity SEC(".maps");

/* The owner of each id: a hash of the service port's name (backends/ebpf/services/identity.ts). */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1 << 17);
	__type(key, __u32);
	__type(value, __u64);
} owners SEC(".maps");

/* ---- endpoints: slots, which the proxy fills through mmap before a service refers to them ---- */

enum endpoint_flag {
	/* The endpoint runs on this node. */
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

/* ---- prefixes ---- */

/*
 * A source range, or a range of service addresses. `prefix` counts the 32 bits of the id and the bits of the
 * address.
 */
struct range {
	__u32 prefix;
	/* The id in struct service; 0 in `service_cidrs`. */
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

/*
 * Verdicts on traffic to addresses that belong to no service: VERDICT_DROP for the ranges of service addresses,
 * NO_VERDICT for the endpoints in them. Packets of sockets have the address of the endpoint.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1 << 17);
	__type(key, struct range);
	__type(value, __s32); /* enum verdict, or NO_VERDICT */
} service_cidrs SEC(".maps");

/* ---- affinity: which endpoint was chosen for which client ---- */

enum client_kind {
	/* Packets: the client's address. */
	CLIENT_ADDRESS = 0,
	/*
	 * Sockets of this node: the cookie of their network namespace, in the first two words. A pod is one
	 * namespace.
	 */
	CLIENT_NAMESPACE = 1,
};

struct client {
	__u32 service;
	enum client_kind kind;
	struct address name;
};

/*
 * Valid while `first` and `generation` equal those of the service's list. Otherwise it is valid only if the
 * list still has the endpoint.
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

enum drop_reason {
	/* VERDICT_REJECT: no endpoints. */
	DROP_NO_ENDPOINTS = 0,
	/* VERDICT_DROP or an empty local list. */
	DROP_NO_LOCAL_ENDPOINTS = 1,
	DROP_SOURCE_RANGE = 2,
	/* The reasons before this one are also counted by service. */
	REFUSAL_REASONS = 3,
	/* The address is in `service_cidrs`, but belongs to no service. */
	DROP_NO_SERVICE = 3,
	/* No free source port for a masqueraded connection. */
	DROP_NO_PORT = 4,
	/* Invalid headers. */
	DROP_MALFORMED = 5,
	/* No route to the endpoint. */
	DROP_NO_ROUTE = 6,
	/* A fragment to a ClusterIP whose first fragment was not seen. */
	DROP_FRAGMENT = 7,
	/* The kernel rejected an update of a map. */
	DROP_MAP_FULL = 8,
	/* A segment of a connection that is not known any more, and whose endpoint cannot be found again. */
	DROP_LOST_FLOW = 9,
	/* A packet whose ICMP error would exceed the limits of struct settings. */
	DROP_ICMP_LIMIT = 12,
	/* An SCTP connection whose endpoint has another port. */
	DROP_SCTP_PORT = 13,
	DROP_REASONS = 16,
};

/*
 * `out` is from the client to the endpoint. For sockets only connections are counted, not packets and bytes.
 */
struct traffic {
	__u64 connections;
	__u64 packets_out;
	__u64 bytes_out;
	__u64 packets_in;
	__u64 bytes_in;
	/* Rejected and dropped packets and sockets, by enum drop_reason. */
	__u64 refused[REFUSAL_REASONS];
};

/*
 * Keyed by service id * FRONTEND_KINDS + enum frontend_kind. An entry is created with the first connection or refusal.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1 << 17);
	__type(key, __u32);
	__type(value, struct traffic);
} counters SEC(".maps");

/* Indexed by enum drop_reason. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, DROP_REASONS);
	__type(key, __u32);
	__type(value, __u64);
} drops SEC(".maps");

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

/* ---- conntrack: flows of packets, one entry per direction ---- */

struct tuple {
	struct address source;
	struct address destination;
	__be16 source_port;
	__be16 destination_port;
	__u8 protocol; /* IPPROTO_* */
	__u8 zero[3];
};

enum flow_flag {
	/* The entry is for the direction from the endpoint to the client. */
	FLOW_REPLY = 1,
	/* The frontend is a node port: in `services` it has the unspecified address. */
	FLOW_NODE_PORT = 2,
	/* The endpoint is on this node itself: its replies leave through the stack. */
	FLOW_TO_NODE = 4,
	/* The enum frontend_kind, in two bits from this one on. */
	FLOW_KIND = 8,
	/* The stack forwards the packets, because it has to decide whether to accept their source. */
	FLOW_THROUGH_STACK = 64,
};

/* The state of a flow, the same in both entries: docs/ebpf-packets.md has the diagram. */
enum flow_state {
	/* The endpoint has answered: with a SYN-ACK for the client's SYN, or with any datagram. */
	FLOW_ANSWERED = 1,
	/* The side has sent a FIN. */
	FLOW_CLIENT_FINISHED = 2,
	FLOW_ENDPOINT_FINISHED = 4,
	/* The side has sent a reset, and the other side nothing since. */
	FLOW_CLIENT_RESET = 8,
	/*
	 * The endpoint finished first. It keeps the connection in TIME_WAIT, and does not reliably accept
	 * another one with the same ports.
	 */
	FLOW_ENDPOINT_FINISHED_FIRST = 16,
	FLOW_ENDPOINT_RESET = 32,
	/*
	 * Both sides have taken part, which nobody can forge without seeing the answers: the entries are in
	 * `conntrack` or `conntrack_udp` instead of `conntrack_new`.
	 */
	FLOW_ASSURED = 64,
};

/* Translation of the packets with one tuple. The tuple of the other direction is `translated` reversed. */
struct flow {
	struct tuple translated;
	__u32 service; /* id in struct service */
	__u32 flags; /* enum flow_flag */
	/* Checksum over the tuple and the members above, which never change: see find_flow(). */
	__u32 check;
	/* Generation of the service at which its `serving` list was last known to have the endpoint. */
	__u32 generation;
	/* Times are those of bpf_ktime_get_coarse_ns(). */
	__u64 born; /* the same in both entries; unique together with the tuple */
	__u64 seen; /* last packet in this direction, at most a second behind */
	__u32 state; /* enum flow_state */
	/* TCP: the sequence number behind the last byte that this direction has sent. */
	__u32 end;
	/*
	 * TCP: the last acknowledgement in this direction. Until the endpoint answers, its entry has the client's
	 * first sequence number.
	 */
	__u32 acked;
	/* Index of the device whose packets of this direction have a source that it may have; 0: none was checked yet. */
	__u32 device;
};

/* Assured connections of TCP. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1 << 18);
	__type(key, struct tuple);
	__type(value, struct flow);
} conntrack SEC(".maps");

/* Assured flows of the other protocols. A map of its own, because their numbers prove little. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1 << 17);
	__type(key, struct tuple);
	__type(value, struct flow);
} conntrack_udp SEC(".maps");

/* All other flows. A flood of packets with forged sources evicts only these. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1 << 17);
	__type(key, struct tuple);
	__type(value, struct flow);
} conntrack_new SEC(".maps");

/* A flow that is checked at a certain time. */
struct revisit {
	struct tuple tuple;
	__u64 born; /* as in struct flow, because another flow may have the tuple by now */
	__u64 due;
};

/* Assured flows in the order in which they are checked again. A check deletes expired flows. */
struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 1 << 17);
	__type(value, struct revisit);
} revisits SEC(".maps");

/*
 * Closed connections in the order in which they are deleted. The length of the queue bounds their share of
 * `conntrack`, so that they do not evict idle connections.
 */
struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 1 << 16);
	__type(value, struct revisit);
} closed_flows SEC(".maps");

enum flow_event {
	/* A flow was created. */
	FLOW_EVENT_CREATED = 0,
	/* A flow became assured. */
	FLOW_EVENT_ASSURED = 1,
	/* An assured flow was deleted because it was closed or idle. Evictions by the kernel are not counted. */
	FLOW_EVENT_DELETED = 2,
	/* A flow lost its source port to a new one before its timeout. */
	FLOW_EVENT_PORT_TAKEN = 3,
	/* A FIN or a reset had sequence numbers that do not belong to the connection. */
	FLOW_EVENT_INVALID_CLOSE = 4,
	/* A direction was evicted, and the next packet of the other one restored it. */
	FLOW_EVENT_RESTORED = 5,
	FLOW_EVENTS = 8,
};

/* Indexed by enum flow_event. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, FLOW_EVENTS);
	__type(key, __u32);
	__type(value, __u64);
} flow_events SEC(".maps");

/*
 * Packets that the stack forwards. Between ingress and egress they have the addresses of the client and of the
 * endpoint, as netfilter's FORWARD would see them. The key is their tuple there, the value the one they arrived with.
 * Ingress writes an entry before each packet that needs it, so evictions do no harm.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1 << 15);
	__type(key, struct tuple);
	__type(value, struct tuple);
} stack_tuples SEC(".maps");

/* ---- limits of ICMP errors ---- */

/*
 * Limits by source, for IPv6 by its /64. The value is the time from which the source gets errors as if it had got none.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1 << 12);
	__type(key, struct address);
	__type(value, __u64);
} icmp_limits SEC(".maps");

/* Limit for all sources together. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} icmp_limit SEC(".maps");

/* ---- fragments: the ports of a datagram, which only its first fragment contains ---- */

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
