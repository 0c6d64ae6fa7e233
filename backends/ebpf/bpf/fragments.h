/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Fragments. Only the first fragment of a datagram has the ports, so they are stored for the later ones. A
 * later fragment that overtakes the first one cannot be translated.
 */
#pragma once

#include "packet.h"

static __always_inline struct datagram datagram_of(const struct packet *packet)
{
	return (struct datagram){
		.source = packet->tuple.source,
		.destination = packet->tuple.destination,
		.identification = packet->identification,
		.protocol = packet->tuple.protocol,
	};
}

static __noinline int store_ports(const struct packet *packet)
{
	struct datagram datagram = datagram_of(packet);
	struct ports ports = { .source = packet->tuple.source_port, .destination = packet->tuple.destination_port };
	bpf_map_update_elem(&fragments, &datagram, &ports, BPF_ANY);
	return 0;
}

/* Sets the ports of a later fragment; returns 0 if they are not known. */
static __always_inline int lookup_ports(struct packet *packet)
{
	struct datagram datagram = datagram_of(packet);
	struct ports *ports = bpf_map_lookup_elem(&fragments, &datagram);
	if (!ports) return 0;
	packet->tuple.source_port = ports->source;
	packet->tuple.destination_port = ports->destination;
	return 1;
}
