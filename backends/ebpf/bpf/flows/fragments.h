/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Fragments. Only the first fragment of a datagram has the ports, so they are stored for the later ones. A
 * later fragment that overtakes the first one cannot be translated.
 */
#pragma once

#include "flow_table.h"

/* Time within which the fragments of a datagram arrive: net.ipv4.ipfrag_time. Senders use identifications again. */
#define FRAGMENT_SECONDS 30

enum direction {
	ARRIVING,
	LEAVING,
};

static __always_inline struct datagram datagram_of(const struct packet *packet, enum direction direction)
{
	return (struct datagram){
		.source = packet->tuple.source,
		.destination = packet->tuple.destination,
		.identification = packet->identification,
		.protocol = packet->family == AF_INET ? packet->tuple.protocol : 0,
		.direction = direction,
	};
}

static __noinline int store_ports(const struct packet *packet, enum direction direction)
{
	struct datagram datagram = datagram_of(packet, direction);
	struct first_fragment first = {
		.arrival = packet->arrival,
		.source_port = packet->tuple.source_port,
		.destination_port = packet->tuple.destination_port,
		.protocol = packet->tuple.protocol,
	};
	bpf_map_update_elem(&fragments, &datagram, &first, BPF_ANY);
	return 0;
}

/*
 * Forgets an earlier datagram that had the identification of this one, whose first fragment has arrived. If this one
 * belongs to a flow, its own ports are stored later.
 */
static __noinline int forget_ports(const struct packet *packet, enum direction direction)
{
	struct datagram datagram = datagram_of(packet, direction);
	bpf_map_delete_elem(&fragments, &datagram);
	return 0;
}

/* Sets the ports and the protocol of a later fragment; returns 0 if they are not known. */
static __always_inline int lookup_ports(struct packet *packet, enum direction direction)
{
	struct datagram datagram = datagram_of(packet, direction);
	struct first_fragment *first = bpf_map_lookup_elem(&fragments, &datagram);
	if (!first || (__s64)(packet->arrival - first->arrival) > (__s64)(FRAGMENT_SECONDS * NANOSECONDS)) return 0;
	packet->tuple.source_port = first->source_port;
	packet->tuple.destination_port = first->destination_port;
	packet->tuple.protocol = first->protocol;
	return 1;
}
