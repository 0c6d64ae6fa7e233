/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Counters of the traffic of services, and of what was dropped. Included by maps.h. */
#pragma once

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
