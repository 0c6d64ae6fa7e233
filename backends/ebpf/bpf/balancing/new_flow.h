/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Packets that belong to no flow. Those for a service begin one, or are rejected or dropped. */
#pragma once

#include "../flows/fragments.h"
#include "../flows/traffic.h"
#include "connect.h"

/* Deletes the flow that has the tuple, if nobody uses it any more. `flow` is a buffer. */
static __noinline int delete_unused(const struct tuple *tuple, struct flow *flow, __u64 now)
{
	if (find_flow(tuple, flow) && (is_over(flow, now) || is_expired(flow, now))) delete_flow(tuple, flow);
	return 0;
}

/*
 * Deletes unused flows that would get packets of the connection that a SYN begins. A client may connect directly to an
 * endpoint, from the port of an earlier connection through a service. The endpoint's replies would be taken for replies
 * to the earlier connection; where packets pass the stack, egress would also translate those of the client, because
 * those of both connections have the same tuple there.
 */
static __noinline int make_way(const struct packet *packet, struct flow *flow)
{
	if (!begins_connection(packet)) return 0;
	struct tuple tuple = reversed(&packet->tuple);
	delete_unused(&tuple, flow, packet->arrival);
	struct tuple *arrived = bpf_map_lookup_elem(&stack_tuples, &packet->tuple);
	if (!arrived) return 0;
	tuple = *arrived;
	return delete_unused(&tuple, flow, packet->arrival);
}

/* Handles a packet whose destination is not a frontend of any service. */
static __noinline int
handle_no_service(struct __sk_buff *skb, struct workspace *work, const struct frontend *frontend)
{
	int verdict = verdict_without_service(frontend, &work->service);
	if (verdict < 0) return PASS_ON;
	count_drop(DROP_NO_SERVICE);
	return verdict == VERDICT_REJECT ? reject_connection(skb, &work->packet) : TC_ACT_SHOT;
}

static __always_inline int refuse(const struct service *service, enum drop_reason reason)
{
	count_refusal(service, reason);
	return TC_ACT_SHOT;
}

/* Reports whether a packet cannot be translated, because the checksum of SCTP covers more than a program can read. */
static __always_inline int changes_sctp_port(const struct packet *packet, const struct endpoint *endpoint)
{
	return packet->tuple.protocol == IPPROTO_SCTP && packet->tuple.destination_port != endpoint->port;
}

/* The service has no endpoint for the packet, or none with the port that SCTP must keep. */
#define NO_ENDPOINT (-1)
#define NO_SCTP_PORT (-2)

/* Chooses an endpoint, and the way to it. Returns enum next_hop, NO_ENDPOINT or NO_SCTP_PORT. */
static __noinline int choose_way(struct __sk_buff *skb, struct workspace *work)
{
	struct settings *settings = settings_of_node();
	if (!settings) return NO_ENDPOINT;
	const struct service *service = &work->service;
	struct packet *packet = &work->packet;
	struct tuple *to = &work->to;

	struct endpoint endpoint;
	enum origin origin = origin_of(skb, packet, settings);
	if (!choose_endpoint(service, origin, &packet->tuple, &endpoint)) return NO_ENDPOINT;
	if (changes_sctp_port(packet, &endpoint)) return NO_SCTP_PORT;
	*to = packet->tuple;
	to->destination = endpoint.address;
	to->destination_port = endpoint.port;
	/*
	 * An endpoint on the node itself. The lookup of a route would fail on a node that does not forward. The source stays,
	 * because the replies pass this node's stack anyway, and no packet with the node's address as source may come from
	 * outside.
	 */
	if (is_own_address(&to->destination)) return NEXT_HOP_STACK;
	int is_hidden = is_masqueraded(service, origin, settings, to);
	enum next_hop next_hop = find_route(skb, packet, to, &work->route);
	if (next_hop == NEXT_HOP_STACK && is_hidden) return NEXT_HOP_NONE;
	if (next_hop == NEXT_HOP_NEIGHBOUR) {
		/* The endpoints of a local pod see its address, as with netfilter. */
		is_hidden |= origin != ORIGIN_LOCAL_POD && is_switched(skb, &work->route);
		if (settings->flags & SETTING_THROUGH_STACK || is_source_uncertain(skb)) next_hop = NEXT_HOP_FORWARD;
	}
	if (is_hidden) masquerade();
	return next_hop;
}

/* Creates a flow to the endpoint that choose_way() has chosen, and forwards the packet. */
static __noinline int balance(struct __sk_buff *skb, struct workspace *work, enum next_hop next_hop, __u32 flags)
{
	struct settings *settings = settings_of_node();
	struct claim *claim = current_claim();
	if (!settings || !claim) return PASS_ON;
	const struct service *service = &work->service;
	struct packet *packet = &work->packet;
	if (next_hop == NEXT_HOP_NONE || next_hop == NEXT_HOP_TOO_BIG) return send(skb, work, next_hop, 1);
	if (next_hop == NEXT_HOP_FORWARD && !(settings->flags & SETTING_THROUGH_STACK)) flags |= FLOW_THROUGH_STACK;

	/* Before the flow is created, so that entries become free. */
	revisit_flows(packet->arrival);

	if (next_hop == NEXT_HOP_STACK) flags |= FLOW_TO_NODE;
	flags |= kind_of(service) * FLOW_KIND;
	int failure = create_flow(skb, packet, &work->to, service, flags);
	if (failure) return drop(failure);
	count_packet(skb, packet, &claim->flow, count_connection(counters_of_flow(&claim->flow)));
	if (packet->is_first_fragment) store_ports(packet, ARRIVING);
	return send(skb, work, next_hop, 1);
}

/*
 * Reports whether a packet belongs to a connection whose endpoint nobody remembers. With affinity, a Maglev table or a
 * single endpoint, the connection gets the endpoint that it had, on every node.
 */
static __noinline int is_of_lost_flow(struct __sk_buff *skb, const struct packet *packet, const struct service *service,
				      const struct settings *settings)
{
	if (packet->tuple.protocol != IPPROTO_TCP || begins_connection(packet)) return 0;
	if (service->flags & SERVICE_MAGLEV || service->affinity_seconds) return 0;
	struct list list = list_for(service, origin_of(skb, packet, settings));
	return list.count > 1;
}

/*
 * Answers with a reset, as an endpoint does that does not know the connection, so that the client opens another one.
 * Only if it is certain that netfilter does not know it either.
 */
static __always_inline int handle_lost_flow(struct __sk_buff *skb, const struct packet *packet)
{
#ifdef LOOKS_UP_NETFILTER
	count_drop(DROP_LOST_FLOW);
	return reject_connection(skb, packet);
#else
	(void)skb;
	(void)packet;
	return PASS_ON;
#endif
}

/* Handles a packet that belongs to no flow. */
static __always_inline int handle_new_flow(struct __sk_buff *skb, struct workspace *work)
{
	struct packet *packet = &work->packet;
	struct settings *settings = settings_of_node();
	if (!settings || settings->flags & SETTING_LEAVE_NEW_FLOWS) return PASS_ON;
	struct frontend frontend = {
		.address = packet->tuple.destination,
		.port = packet->tuple.destination_port,
		.protocol = packet->tuple.protocol,
	};
	__u32 flags = 0;
	struct service *service = &work->service;
	int is_found = find_destination(&frontend, service);
	if (!is_found && !is_loopback(&frontend.address)) {
		is_found = find_node_port(&frontend, service);
		flags = FLOW_NODE_PORT;
	}
	/* A reset creates no flow. */
	if (packet->tcp_flags & TCP_RST || is_martian(&packet->tuple.source)) return PASS_ON;
	if (!is_found) {
		make_way(packet, &work->flow);
		return handle_no_service(skb, work, &frontend);
	}
	if (belongs_to_others(skb, packet, settings)) return PASS_ON;

	if (service->flags & SERVICE_SOURCE_RANGES && !is_source_allowed(service->id, &packet->tuple.source))
		return refuse(service, DROP_SOURCE_RANGE);
	if (service->verdict == VERDICT_DROP) return refuse(service, DROP_NO_LOCAL_ENDPOINTS);
	if (service->verdict == VERDICT_REJECT) {
		count_refusal(service, DROP_NO_ENDPOINTS);
		return reject_connection(skb, packet);
	}
	if (is_of_lost_flow(skb, packet, service, settings)) return handle_lost_flow(skb, packet);
	/* Not in balance(), because the stack would be exceeded. */
	int next_hop = choose_way(skb, work);
	if (next_hop == NO_ENDPOINT) return refuse(service, DROP_NO_LOCAL_ENDPOINTS);
	if (next_hop == NO_SCTP_PORT) {
		count_drop(DROP_SCTP_PORT);
		return reject_connection(skb, packet);
	}
	return balance(skb, work, next_hop, flags);
}
