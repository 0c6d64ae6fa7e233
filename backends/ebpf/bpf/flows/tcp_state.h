/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * TCP's part of connection tracking: which packets open and close a connection. A packet counts only if its
 * sequence numbers belong to the connection, so that nobody can end connections whose packets he does not see
 * (RFC 5961), or make the table remember connections that do not exist. Packets that do not count are forwarded
 * all the same, because the endpoint and the client check the numbers better.
 */
#pragma once

#include "reopening.h"

/*
 * Reports whether a segment begins between what the other side has acknowledged and what this side has sent, which are
 * equal on an idle connection.
 */
static __always_inline int is_in_sequence(const struct packet *packet, const struct flow *flow, const struct flow *other)
{
	return packet->sequence - other->acked <= latest_of(flow->end, other->acked) - other->acked;
}

/* Reports whether a reset is in sequence. */
static __always_inline int is_valid_reset(const struct packet *packet, const struct flow *flow, const struct flow *other)
{
	if (flow->flags & FLOW_REPLY && !(flow->state & FLOW_ANSWERED)) {
		/* The endpoint rejects the first packet: RFC 9293, 3.10.7.1. */
		if (packet->tcp_flags & TCP_ACK) return packet->acknowledgement == other->end;
		return other->acked && packet->sequence == other->acked;
	}
	return is_in_sequence(packet, flow, other);
}

/* Reports whether both numbers of a packet are near those of the connection. */
static __always_inline int is_plausible(const struct packet *packet, const struct flow *flow, const struct flow *other)
{
	if (!(packet->tcp_flags & TCP_ACK) || is_after(other->acked, packet->sequence_end)) return 0;
	if (is_after(packet->sequence, latest_of(flow->end, other->acked) + MAX_DISTANCE)) return 0;
	__u32 oldest = flow->acked - MAX_DISTANCE;
	return packet->acknowledgement - oldest <= latest_of(other->end, flow->acked) - oldest;
}

/* ---- closing ---- */

static __always_inline __u32 own_finished(const struct flow *flow)
{
	return flow->flags & FLOW_REPLY ? FLOW_ENDPOINT_FINISHED : FLOW_CLIENT_FINISHED;
}

/* State flags that the first FIN of a side sets. */
static __always_inline __u32 news_of_fin(const struct flow *flow)
{
	int is_first = flow->flags & FLOW_REPLY && !(flow->state & FLOW_CLIENT_FINISHED);
	return own_finished(flow) | (is_first ? FLOW_ENDPOINT_FINISHED_FIRST : 0);
}

static __always_inline __u32 own_reset(const struct flow *flow)
{
	return flow->flags & FLOW_REPLY ? FLOW_ENDPOINT_RESET : FLOW_CLIENT_RESET;
}

static __always_inline __u32 opposite_reset(const struct flow *flow)
{
	return flow->flags & FLOW_REPLY ? FLOW_CLIENT_RESET : FLOW_ENDPOINT_RESET;
}

static __always_inline void
follow_fin(const struct packet *packet, struct flow *entry, struct flow *other, struct flow *flow)
{
	if (flow->state & own_finished(flow)) return;
	if (is_after(packet->sequence_end, flow->end)) entry->end = packet->sequence_end;
	change_state(entry, other, flow, news_of_fin(flow), 0);
}

/* Follows a packet that closes an assured connection, or one after such a packet. */
VERIFIED_ONCE int
follow_closing(const struct packet *packet, struct flow *entry, struct flow *other, struct flow *flow)
{
	if (!packet || !entry || !other || !flow) return 0;
	int counts = packet->tcp_flags & TCP_RST ? is_valid_reset(packet, flow, other) :
						   is_plausible(packet, flow, other);
	if (!counts) {
		if (packet->tcp_flags & (TCP_RST | TCP_FIN)) count_flow_event(FLOW_EVENT_INVALID_CLOSE);
		return 0;
	}
	if (packet->tcp_flags & TCP_RST) {
		change_state(entry, other, flow, own_reset(flow), 0);
	} else {
		/*
		 * The connection goes on: the other side's reset was not accepted, and this packet may be the
		 * challenge that answers it (RFC 5961); or there is data behind this side's FIN.
		 */
		__u32 refuted = flow->state & opposite_reset(flow);
		if (flow->state & own_finished(flow) && is_after(packet->sequence_end, flow->end))
			refuted |= own_finished(flow) | (flow->flags & FLOW_REPLY ? FLOW_ENDPOINT_FINISHED_FIRST : 0);
		change_state(entry, other, flow, 0, refuted);
		if (packet->tcp_flags & TCP_FIN) follow_fin(packet, entry, other, flow);
	}
	return 0;
}

/* ---- opening ---- */

/* Follows a packet of the endpoint before the connection is assured. */
static __always_inline void
follow_answer(const struct packet *packet, struct flow *entry, struct flow *other, struct flow *flow)
{
	/* It must acknowledge what the client sent: its SYN, or a part of its first segment. */
	__u32 acknowledged = packet->acknowledgement - flow->acked;
	int is_syn = packet->tcp_flags & TCP_SYN;
	if (!(packet->tcp_flags & TCP_ACK) || acknowledged > other->end - flow->acked || (is_syn && !acknowledged)) return;
	__u32 news = FLOW_ANSWERED | (is_fin(packet) ? news_of_fin(flow) : 0);
	__u32 refuted = 0;
	/*
	 * The last one counts: a server that uses SYN cookies may answer with another number each time. Only segments
	 * that were overtaken by a FIN may follow it.
	 */
	int is_finished = flow->state & FLOW_ENDPOINT_FINISHED && !is_syn;
	if (!is_finished || flow->end - packet->sequence_end > MAX_DISTANCE) {
		entry->end = packet->sequence_end;
		refuted = FLOW_ENDPOINT_FINISHED | FLOW_ENDPOINT_FINISHED_FIRST;
	}
	if (!is_syn) entry->acked = packet->acknowledgement;
	change_state(entry, other, flow, news, refuted);
}

/* Follows a SYN before the connection is assured. */
static __always_inline void
follow_syn(const struct packet *packet, struct flow *entry, struct flow *other, struct flow *flow)
{
	if (packet->sequence_end == flow->end) return;
	/* The client has given up the first attempt, and begins again with another number. */
	entry->end = packet->sequence_end;
	entry->acked = 0;
	other->end = 0;
	other->acked = packet->sequence;
	change_state(entry, other, flow, 0,
		     FLOW_ANSWERED | FLOW_CLIENT_FINISHED | FLOW_ENDPOINT_FINISHED | FLOW_ENDPOINT_FINISHED_FIRST);
}

/*
 * Follows a packet of the client before the connection is assured. Reports whether it is now: the client knows
 * the endpoint's number, which cannot be guessed.
 */
static __always_inline int
follow_client(const struct packet *packet, struct flow *entry, struct flow *other, struct flow *flow)
{
	if (!(packet->tcp_flags & TCP_ACK)) return 0;
	if (is_fin(packet) && is_in_sequence(packet, flow, other))
		change_state(entry, other, flow, FLOW_CLIENT_FINISHED, 0);
	advance(&entry->end, packet->sequence_end);
	entry->acked = packet->acknowledgement;
	flow->end = entry->end;
	flow->acked = entry->acked;
	return flow->state & FLOW_ANSWERED && packet->acknowledgement == other->end;
}

/* Follows a packet of a connection that is not assured. Returns 1 if it must become so. */
VERIFIED_ONCE int
follow_opening(const struct packet *packet, struct flow *entry, struct flow *other, struct flow *flow)
{
	if (!packet || !entry || !other || !flow) return 0;
	if (packet->tcp_flags & TCP_RST) {
		if (is_valid_reset(packet, flow, other)) change_state(entry, other, flow, own_reset(flow), 0);
		else count_flow_event(FLOW_EVENT_INVALID_CLOSE);
		return 0;
	}
	if (flow->flags & FLOW_REPLY) {
		follow_answer(packet, entry, other, flow);
		return 0;
	}
	if (packet->tcp_flags & TCP_SYN) {
		follow_syn(packet, entry, other, flow);
		return 0;
	}
	return follow_client(packet, entry, other, flow);
}

/*
 * Follows a packet of a connection without an entry of the other direction, and restores that with the numbers that the
 * packet tells.
 */
static __noinline int follow_alone(const struct packet *packet, struct flow *entry, struct flow *flow)
{
	__u32 news = 0, unknown = FLOW_SYN_IGNORED | FLOW_REOPENED;
	if (!(flow->state & FLOW_ASSURED)) {
		if (is_fin(packet) && packet->sequence == flow->end) news = news_of_fin(flow);
		/* The endpoint's number is unknown until it answers again. */
		unknown = FLOW_ANSWERED;
	}
	change_state(entry, NULL, flow, news, unknown);
	if (packet->tcp_flags & (TCP_RST | TCP_SYN)) return 0;
	if (is_of_flow(entry, flow)) advance(&entry->end, packet->sequence_end);
	return restore_other_direction(packet, flow);
}

/* ---- every packet ---- */

/* Reports whether a side has sent a FIN or a reset. */
static __always_inline int is_closing(__u32 state)
{
	return state & CLOSING_STATE;
}

/* Reports whether a connection is established, and nothing hints at its end. */
static __always_inline int is_settled(__u32 state)
{
	return (state & (FLOW_ASSURED | CLOSING_STATE | FLOW_SYN_IGNORED | FLOW_REOPENED)) == FLOW_ASSURED;
}

/*
 * Follows a packet that may change the state of its connection. Returns the entry of its direction; NULL if that
 * is unknown.
 */
static __noinline struct flow *
follow_tcp_state(const struct packet *packet, struct flow *entry, struct flow *flow, __u64 now)
{
	struct flow *other = other_direction(flow);
	if (!other) {
		follow_alone(packet, entry, flow);
		return entry;
	}
	if (!(flow->state & FLOW_ASSURED)) {
		if (!follow_opening(packet, entry, other, flow)) return entry;
		entry = assure(packet, flow, other, now);
		if (!is_closing(flow->state) && !(packet->tcp_flags & (TCP_FIN | TCP_RST))) return entry;
		other = other_direction(flow);
		if (!entry || !other) return entry;
	}
	if (packet->tcp_flags & TCP_SYN || flow->state & (FLOW_SYN_IGNORED | FLOW_REOPENED))
		follow_other_connection(packet, entry, other, flow);
	/* Otherwise, a SYN in an established connection means nothing: the endpoint challenges it. */
	if (packet->tcp_flags & TCP_SYN) return entry;
	follow_closing(packet, entry, other, flow);
	return entry;
}

/* Follows a TCP segment. Returns the entry of its direction; NULL if that is unknown. */
static __always_inline struct flow *
follow_tcp(const struct packet *packet, struct flow *entry, struct flow *flow, __u64 now)
{
	const __u8 flags = packet->tcp_flags;
	/* A later fragment has no header. */
	if (packet->transport_length == 0) return entry;
	if (!is_settled(flow->state) || flags & (TCP_FIN | TCP_RST | TCP_SYN))
		entry = follow_tcp_state(packet, entry, flow, now);
	if (!(flow->state & FLOW_ASSURED) || flags & (TCP_SYN | TCP_RST) || !is_of_flow(entry, flow)) return entry;
	advance(&entry->end, packet->sequence_end);
	if (flags & TCP_ACK) advance(&entry->acked, packet->acknowledgement);
	return entry;
}

/* Updates the state and the time of a flow after a packet. `flow` is a copy of `entry`, in the packet's direction. */
VERIFIED_ONCE int update_flow(const struct packet *packet, struct flow *entry, struct flow *flow)
{
	if (!packet || !entry || !flow) return 0;
	__u64 now = packet->arrival;
	int was_queued = flow->state & FLOW_ASSURED && is_closed(flow->state);
	entry = packet->tuple.protocol == IPPROTO_TCP ? follow_tcp(packet, entry, flow, now) :
							follow_datagram(packet, entry, flow, now);
	if (!was_queued && is_closed(flow->state) && flow->state & FLOW_ASSURED)
		queue_closed(&packet->tuple, flow, now);
	int is_due = (__s64)(now - flow->seen) > (__s64)SEEN_INTERVAL;
	if (!is_due || !is_of_flow(entry, flow)) return 0;
	entry->seen = now;
	/* The lookup also protects the other entry, because the LRU maps evict recently used entries last. */
	if (!other_direction(flow)) restore_other_direction(packet, flow);
	return 0;
}

/* Reports whether the client opens a new connection with the port of a closed one. */
static __always_inline int is_reopened(const struct packet *packet, const struct flow *flow)
{
	return (packet->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN && !(flow->flags & FLOW_REPLY) &&
	       is_over(flow, packet->arrival);
}
