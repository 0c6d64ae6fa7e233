/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Packets and tuples that belong to somebody else: to netfilter, which has flows of masqueraded pods and of other
 * modes, or to a socket of the node.
 */
#pragma once

#include "netfilter.h"
#include "tcp_state.h"

/* An answered UDP flow without packets from its endpoint for so long gives way to the node's own datagrams. */
#define OWN_DATAGRAM_WINS_AFTER (10 * NANOSECONDS)

static __always_inline int begins_connection(const struct packet *packet)
{
	return (packet->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
}

/*
 * Reports whether a datagram belongs to a flow of netfilter. An entry for the direction of the packet, without a
 * translation, does not count: it was made by earlier packets to the service's address, before there was the service,
 * and a client that goes on would keep it forever.
 */
static __always_inline int is_datagram_of_netfilter(struct __sk_buff *skb, const struct packet *packet)
{
	return netfilter_knowledge(skb, &packet->tuple) & (NETFILTER_REPLY | NETFILTER_DST_NAT);
}

/*
 * Reports whether a packet to a frontend, which belongs to no flow here, belongs to somebody else's. A SYN does not: it
 * would be part of a simultaneous open, which is not worth a lookup for every new connection. A SYN with ACK always
 * does, because it answers a SYN.
 */
static __noinline int
belongs_to_others(struct __sk_buff *skb, const struct packet *packet, const struct settings *settings)
{
	const struct tuple *tuple = &packet->tuple;
	if (tuple->protocol == IPPROTO_UDP)
		return is_expected_by_node(tuple, settings) || is_datagram_of_netfilter(skb, packet);
	if (tuple->protocol != IPPROTO_TCP || begins_connection(packet)) return 0;
	return packet->tcp_flags & TCP_SYN || netfilter_knowledge(skb, tuple) || has_connection(skb, tuple);
}

/*
 * Reports whether somebody else gets packets with this tuple, so that no flow may claim it for its replies. Sockets are
 * looked up only if the tuple has an address of the node.
 */
VERIFIED_ONCE int is_taken_by_others(struct __sk_buff *skb, const struct tuple *tuple, int is_own)
{
	if (!tuple) return 0;
	if (netfilter_knowledge(skb, tuple)) return 1;
	if (!is_own) return 0;
	if (tuple->protocol == IPPROTO_UDP) return has_udp_socket(skb, tuple);
	return tuple->protocol == IPPROTO_TCP && has_connection(skb, tuple);
}

/* ---- the node's own packets, at egress ---- */

/* Reports whether the node itself sends the packet. Packets that it forwards have arrived at a device. */
static __always_inline int is_sent_by_node(struct __sk_buff *skb)
{
	return skb->ingress_ifindex == 0;
}

/* Reports whether a flow gives way to a connection, or to datagrams, of the node's own with its tuple. */
static __always_inline int gives_way(const struct flow *flow)
{
	if (!(flow->flags & FLOW_REPLY)) return 0;
	if (is_closed(flow->state) || !(flow->state & FLOW_ANSWERED)) return 1;
	/* Nobody uses a connection whose client has not acknowledged the answer, and a forged SYN can bring it about. */
	if (flow->translated.protocol != IPPROTO_UDP)
		return !(flow->state & FLOW_ASSURED) || is_expired(flow, coarse_time());
	/* A client that goes on gets another port. */
	__s64 idle = coarse_time() - flow->seen;
	return idle > (__s64)OWN_DATAGRAM_WINS_AFTER;
}

/*
 * Deletes the flow whose replies have the tuple of the replies to this packet of the node, unless the flow is in use.
 * A program of the node may bind the source port of an earlier masqueraded connection to the same endpoint, and that
 * connection would get the endpoint's reply.
 */
static __noinline int delete_unused_flow(const struct tuple *tuple, struct flow *flow)
{
	struct tuple reply = reversed(tuple);
	if (find_flow(&reply, flow) && gives_way(flow)) delete_flow(&reply, flow);
	return 0;
}

/* Follows a packet of the node itself. `flow` is a buffer. */
static __always_inline void note_packet_of_node(struct __sk_buff *skb, const struct packet *packet, struct flow *flow)
{
	if (!is_sent_by_node(skb)) return;
	if (packet->tuple.protocol == IPPROTO_UDP) {
		note_own_datagram(&packet->tuple);
		delete_unused_flow(&packet->tuple, flow);
	} else if (begins_connection(packet)) {
		delete_unused_flow(&packet->tuple, flow);
	}
}
