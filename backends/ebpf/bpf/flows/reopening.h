/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * A connection in place of one that both sides have forgotten without closing it, as after a crash. It has the same
 * tuple, but other sequence numbers, so that its end would not be noticed.
 *
 * The client's SYN alone proves nothing, because anybody can forge it. The endpoint must acknowledge it, and the client
 * must acknowledge the endpoint's number, with no packet in between: an endpoint that knows the former connection
 * challenges the SYN (RFC 5961). Somebody who can forge packets of both sides may be faster than the challenge.
 * Therefore the new connection is on trial for a second, in which a packet with the former numbers shows that the
 * former connection goes on.
 */
#pragma once

#include "sequence.h"

/*
 * Time without packets of the endpoint after which a SYN is remembered. A kernel that has just challenged one might leave
 * the next one unanswered, for half a second (net.ipv4.tcp_invalid_ratelimit).
 */
#define QUIET_BEFORE_SYN (2 * SEEN_INTERVAL)

/* The state of a connection of which one side has sent a FIN or a reset. */
#define CLOSING_STATE                                                                                       \
	(FLOW_CLIENT_FINISHED | FLOW_ENDPOINT_FINISHED | FLOW_ENDPOINT_FINISHED_FIRST | FLOW_CLIENT_RESET | \
	 FLOW_ENDPOINT_RESET)

/* The number of the other connection in an entry, where other flows have a generation: see enum flow_state. */
static __always_inline __u32 *number_of_other(struct flow *entry)
{
	return &entry->generation;
}

/* Sets the numbers of a connection, as if everything up to them were acknowledged. */
static __always_inline void
set_numbers(struct flow *entry, struct flow *other, struct flow *flow, __u32 mine, __u32 theirs)
{
	entry->end = flow->end = other->acked = mine;
	entry->acked = flow->acked = other->end = theirs;
}

/* Remembers the client's SYN in an assured connection. */
static __always_inline void
note_syn(const struct packet *packet, struct flow *entry, struct flow *other, struct flow *flow)
{
	__u32 *number = number_of_other(entry);
	/* A repeated one changes nothing. */
	if (flow->state & FLOW_SYN_IGNORED && *number == packet->sequence_end) return;
	if ((__s64)(packet->arrival - other->seen) < (__s64)QUIET_BEFORE_SYN) return;
	*number = packet->sequence_end;
	*number_of_other(other) = 0;
	/* The trial lasts until a second after this. */
	entry->seen = packet->arrival;
	change_state(entry, other, flow, FLOW_SYN_IGNORED, FLOW_REOPENED);
}

/* Follows a packet behind a SYN that was remembered. */
static __always_inline void
follow_ignored_syn(const struct packet *packet, struct flow *entry, struct flow *other, struct flow *flow)
{
	const __u32 flags = packet->tcp_flags & (TCP_SYN | TCP_RST | TCP_ACK);
	__u32 *mine = number_of_other(entry), *theirs = number_of_other(other);
	if (flow->flags & FLOW_REPLY) {
		if (flags == (TCP_SYN | TCP_ACK) && packet->acknowledgement == *theirs) *mine = packet->sequence_end;
		else change_state(entry, other, flow, 0, FLOW_SYN_IGNORED);
		return;
	}
	/* Without an answer, the endpoint's number is 0. */
	if (flags != TCP_ACK || packet->sequence != *mine || packet->acknowledgement != *theirs || !*theirs) {
		change_state(entry, other, flow, 0, FLOW_SYN_IGNORED);
		return;
	}
	*mine = latest_of(flow->end, other->acked);
	*theirs = latest_of(other->end, flow->acked);
	set_numbers(entry, other, flow, packet->sequence, packet->acknowledgement);
	change_state(entry, other, flow, FLOW_REOPENED, FLOW_SYN_IGNORED | CLOSING_STATE);
}

/* Follows a packet of a connection on trial. */
static __always_inline void
follow_trial(const struct packet *packet, struct flow *entry, struct flow *other, struct flow *flow)
{
	__u32 mine = *number_of_other(entry), theirs = *number_of_other(other);
	if (packet->tcp_flags & TCP_ACK && is_near(packet->sequence, mine) && is_near(packet->acknowledgement, theirs)) {
		set_numbers(entry, other, flow, mine, theirs);
		change_state(entry, other, flow, 0, FLOW_REOPENED | CLOSING_STATE);
	} else if (!is_on_trial(flow, packet->arrival)) {
		change_state(entry, other, flow, 0, FLOW_REOPENED);
	}
}

/* Follows a packet of an assured connection that may belong to another connection with the same tuple. */
VERIFIED_ONCE int
follow_other_connection(const struct packet *packet, struct flow *entry, struct flow *other, struct flow *flow)
{
	if (!packet || !entry || !other || !flow || !is_of_flow(entry, flow)) return 0;
	int is_syn = (packet->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN && !(flow->flags & FLOW_REPLY);
	if (flow->state & FLOW_REOPENED) follow_trial(packet, entry, other, flow);
	if (is_syn) note_syn(packet, entry, other, flow);
	else if (flow->state & FLOW_SYN_IGNORED) follow_ignored_syn(packet, entry, other, flow);
	return 0;
}
