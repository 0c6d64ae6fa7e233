/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Maps of flows: connection tracking, and what it needs for fragments and ICMP errors. Included by maps.h. */
#pragma once

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
	/*
	 * The client has sent a SYN with other numbers. The entries have the numbers behind it and behind the endpoint's
	 * answer in `generation`.
	 */
	FLOW_SYN_IGNORED = 128,
	/*
	 * Another connection was opened with the same tuple. The entries have the last numbers of the former one in
	 * `generation`.
	 */
	FLOW_REOPENED = 256,
};

/* Translation of the packets with one tuple. The tuple of the other direction is `translated` reversed. */
struct flow {
	struct tuple translated;
	__u32 service; /* id in struct service */
	__u32 flags; /* enum flow_flag */
	/* Checksum over the tuple and the members above, which never change: see find_flow(). */
	__u32 check;
	/*
	 * Generation of the service at which its `serving` list was last known to have the endpoint. An assured TCP
	 * connection never leaves its endpoint, and has a sequence number of another connection here.
	 */
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

/* ---- fragments: what only the first fragment of a datagram contains ---- */

struct datagram {
	struct address source;
	struct address destination;
	__be32 identification;
	__u8 protocol; /* IPv4. 0 for IPv6, whose fragments need not tell it. */
	/* enum direction: in the stack, packets may have other ports between the same addresses. */
	__u8 direction;
	__u8 zero[2];
};

struct first_fragment {
	__u64 arrival; /* bpf_ktime_get_coarse_ns() */
	__be16 source_port;
	__be16 destination_port;
	__u8 protocol;
	__u8 zero[3];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1 << 12);
	__type(key, struct datagram);
	__type(value, struct first_fragment);
} fragments SEC(".maps");
