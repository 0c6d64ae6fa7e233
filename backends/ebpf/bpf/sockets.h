/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What is remembered of sockets that were sent to an endpoint, by sock.bpf.c for itself and for stranded.h. */
#pragma once

#include "maps.h"

/* Of a connected socket: where it believes to be, and where it is. Goes with the socket. */
struct connection {
	struct address service_address;
	struct address endpoint_address;
	__be16 service_port;
	__be16 endpoint_port;
	__u32 service;
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct connection);
} connections SEC(".maps");

/*
 * As `affinity`, of sockets that send datagrams without being connected. Resolvers use a new one for every question:
 * those are not to push out clients of services with affinity.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1 << 16);
	__type(key, struct client);
	__type(value, struct choice);
} socket_choices SEC(".maps");

/* An endpoint that a socket sends datagrams to, and the address it gave for it. */
struct peer {
	__u64 socket; /* cookie */
	struct address address;
	__be16 port;
	__u16 zero;
	__u32 zero2;
};

struct reached_by {
	struct address address;
	__be16 port;
	__u16 zero;
	__u32 service;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1 << 16);
	__type(key, struct peer);
	__type(value, struct reached_by);
} peers SEC(".maps");
