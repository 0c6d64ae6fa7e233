/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Flows whose endpoint is gone, and which therefore move to another one. */
#pragma once

#include "../choice.h"
#include "others.h"

/*
 * Reports whether a packet may move its flow to another endpoint: one of the client, of a UDP flow, which has no end, or
 * of an attempt to connect that the endpoint has not answered. A client repeats that for two minutes.
 */
static __always_inline int may_move(const struct packet *packet, const struct flow *flow)
{
	if (flow->flags & FLOW_REPLY) return 0;
	if (packet->tuple.protocol == IPPROTO_UDP) return 1;
	return !(flow->state & FLOW_ANSWERED) && (packet->tuple.protocol != IPPROTO_TCP || begins_connection(packet));
}

/*
 * Reports whether a flow may stay with an endpoint: an attempt to connect if it gets new flows, a UDP flow also if it only
 * serves existing ones.
 */
static __always_inline int may_stay(const struct service *service, const struct choice *endpoint, __u8 protocol)
{
	if (protocol == IPPROTO_UDP) return has_endpoint(&service->serving, endpoint);
	return has_endpoint(&service->cluster, endpoint) || has_endpoint(&service->local, endpoint);
}

/* Reports whether a flow that may move must leave its endpoint (docs/behaviour.md §6). */
static __noinline int has_lost_endpoint(const struct packet *packet, struct flow *entry, struct flow *flow)
{
	const struct tuple *tuple = &packet->tuple;
	if (!may_move(packet, flow)) return 0;
	struct frontend frontend = {
		.address = tuple->destination,
		.port = tuple->destination_port,
		.protocol = tuple->protocol,
	};
	struct service service = {};
	int is_found = flow->flags & FLOW_NODE_PORT ? find_node_port(&frontend, &service) :
						      find_service(&frontend, &service);
	if (!is_found || service.id != flow->service) return 1;
	if (service.generation == flow->generation) return 0;
	struct choice wanted = {
		.address = flow->translated.destination,
		.port = flow->translated.destination_port,
	};
	if (!may_stay(&service, &wanted, tuple->protocol)) return 1;
	if (is_of_flow(entry, flow)) entry->generation = service.generation;
	return 0;
}
