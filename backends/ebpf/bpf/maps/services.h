/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Maps of services: what the proxy writes, and which endpoint was chosen for a client. Included by maps.h. */
#pragma once

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
