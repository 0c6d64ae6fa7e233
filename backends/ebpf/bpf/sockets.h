/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* State of sockets that were balanced. sock.bpf.c writes it; sock.bpf.c and stranded.h read it. */
#pragma once

#include "maps.h"

/* The service that a connected socket asked for, and the endpoint that it got. Freed with the socket. */
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
 * Like `affinity`, but for sockets that send datagrams without being connected. It is a map of its own
 * because resolvers use a new socket for every query, and these must not evict clients of services with
 * affinity.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1 << 16);
	__type(key, struct client);
	__type(value, struct choice);
} socket_choices SEC(".maps");

/* An endpoint to which a socket sends datagrams. The value is the frontend that the socket sent them to. */
struct peer {
	__u64 socket; /* cookie */
	struct address address;
	__be16 port;
	__u16 zero;
	__u32 zero2;
};

struct peer_frontend {
	struct address address;
	__be16 port;
	__u16 zero;
	__u32 service;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1 << 16);
	__type(key, struct peer);
	__type(value, struct peer_frontend);
} peers SEC(".maps");
