/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* State of connected sockets that were balanced. sock.bpf.c writes it; sock.bpf.c and stranded.h read it. */
#pragma once

#include "../maps.h"

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
