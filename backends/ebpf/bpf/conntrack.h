/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The memory of flows: what becomes of a packet by its tuple. A flow has an entry for each direction, and either leads
 * to the other.
 */
#pragma once

#include "packet.h"

/* Of a TCP connection nobody has answered: net.netfilter.nf_conntrack_tcp_timeout_syn_sent is as long. */
#define SYN_SECONDS 120
/* Of a TCP connection that is over, for what is still under way: its port is free again after that. */
#define CLOSED_SECONDS 10
/* The same where the endpoint waits: TCP_TIMEWAIT_LEN, net/tcp.h */
#define TIME_WAIT_SECONDS 60
/* `seen` is not written for every packet: that would keep processors waiting for each other. */
#define SEEN_EVERY NANOSECONDS
/* How long a flow waits until it is looked at again, and how many are for each new one. */
#define REVISIT_AFTER (30 * NANOSECONDS)
#define REVISITS_FOR_NEW_FLOW 4

static __always_inline __u64 coarse_time(void)
{
	return bpf_ktime_get_coarse_ns();
}

static __always_inline struct tuple reversed(const struct tuple *tuple)
{
	return (struct tuple){
		.source = tuple->destination,
		.destination = tuple->source,
		.source_port = tuple->destination_port,
		.destination_port = tuple->source_port,
		.protocol = tuple->protocol,
	};
}

static __always_inline struct flow *flow_of(const struct tuple *tuple)
{
	return bpf_map_lookup_elem(&conntrack, tuple);
}

static __always_inline struct flow *other_direction(const struct flow *flow)
{
	struct tuple tuple = reversed(&flow->translated);
	return flow_of(&tuple);
}

static __always_inline int is_closed(const struct flow *flow)
{
	const __u32 both = FLOW_CLIENT_FINISHED | FLOW_ENDPOINT_FINISHED;
	return (flow->state & FLOW_RESET) || (flow->state & both) == both;
}

/* For how long it is remembered without packets. */
static __always_inline __u64 patience_with(const struct flow *flow, const struct settings *settings)
{
	if (flow->translated.protocol != IPPROTO_TCP)
		return flow->state & FLOW_ANSWERED ? settings->udp_stream_seconds : settings->udp_seconds;
	if (flow->state & FLOW_RESET) return CLOSED_SECONDS;
	if (is_closed(flow)) return flow->state & FLOW_ENDPOINT_FINISHED_FIRST ? TIME_WAIT_SECONDS : CLOSED_SECONDS;
	if (flow->state & (FLOW_CLIENT_FINISHED | FLOW_ENDPOINT_FINISHED)) return settings->tcp_closing_seconds;
	return flow->state & FLOW_ANSWERED ? settings->tcp_established_seconds : SYN_SECONDS;
}

static __always_inline int is_idle(const struct flow *flow, const struct settings *settings, __u64 now)
{
	/* Another processor may have seen a packet since. */
	__s64 idle = now - flow->seen;
	return idle > (__s64)(patience_with(flow, settings) * NANOSECONDS);
}

/* Neither direction has seen a packet for too long. */
VERIFIED_ONCE int is_over(const struct flow *flow, __u64 now)
{
	struct settings *settings = settings_of_node();
	if (!flow || !settings || !is_idle(flow, settings, now)) return 0;
	struct flow *other = other_direction(flow);
	return !other || other->born != flow->born || is_idle(other, settings, now);
}

VERIFIED_ONCE int forget(const struct tuple *tuple, const struct flow *flow)
{
	if (!tuple || !flow) return 0;
	/* A copy of either: a key is on the stack or in a map, before Linux 6.2 not what an argument points to. */
	struct tuple key = reversed(&flow->translated);
	bpf_map_delete_elem(&conntrack, &key);
	key = *tuple;
	bpf_map_delete_elem(&conntrack, &key);
	return 0;
}

/* ---- what packets tell ---- */

static __always_inline __u32 state_told_by(const struct packet *packet, const struct flow *flow)
{
	int is_reply = flow->flags & FLOW_REPLY;
	__u32 state = is_reply ? FLOW_ANSWERED : 0;
	if (packet->tcp_flags & TCP_FIN) {
		state |= is_reply ? FLOW_ENDPOINT_FINISHED : FLOW_CLIENT_FINISHED;
		if (is_reply && !(flow->state & FLOW_CLIENT_FINISHED)) state |= FLOW_ENDPOINT_FINISHED_FIRST;
	}
	if (packet->tcp_flags & TCP_RST) state |= FLOW_RESET;
	return state;
}

/* The entry of the other direction, made anew when the map had no room left for it. */
static __noinline int restore_other_direction(const struct packet *packet, const struct flow *flow)
{
	struct tuple tuple = reversed(&flow->translated);
	struct flow other = *flow;
	other.translated = reversed(&packet->tuple);
	other.flags ^= FLOW_REPLY;
	bpf_map_update_elem(&conntrack, &tuple, &other, BPF_NOEXIST);
	return 0;
}

/* Notes that a packet of the flow has come. */
static __always_inline void follow(const struct packet *packet, struct flow *flow)
{
	__u64 now = coarse_time();
	__u32 news = state_told_by(packet, flow) & ~flow->state;
	int is_due = (__s64)(now - flow->seen) > (__s64)SEEN_EVERY;
	if (!news && !is_due) return;
	if (is_due) flow->seen = now;
	if (news) __sync_fetch_and_or(&flow->state, news);
	/* Looking for it keeps it, too: what is looked for is evicted last. */
	struct flow *other = other_direction(flow);
	if (!other) restore_other_direction(packet, flow);
	else if (news) __sync_fetch_and_or(&other->state, news);
}

/* The client begins a new connection with the port of one that is closed. */
static __always_inline int is_begun_anew(const struct packet *packet, const struct flow *flow)
{
	return (packet->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN && !(flow->flags & FLOW_REPLY) && is_closed(flow);
}

/* ---- flows that are over make room ---- */

static __always_inline void revisit_later(const struct tuple *tuple, __u64 born, __u64 now)
{
	struct revisit revisit = { .tuple = *tuple, .born = born, .due = now + REVISIT_AFTER };
	/* Without room the flow stays until the map needs its entries. */
	bpf_map_push_elem(&revisits, &revisit, 0);
}

/*
 * Looks at the flows whose turn it is: as many for each new flow that those which are over can not pile up. Without it
 * they would stay until the map is full, and then flows which are only quiet would go before them.
 */
VERIFIED_ONCE int revisit_some(__u64 now)
{
	for (int count = 0; count < REVISITS_FOR_NEW_FLOW; count++) {
		struct revisit revisit;
		if (bpf_map_peek_elem(&revisits, &revisit) != 0 || (__s64)(revisit.due - now) > 0) return 0;
		/* Another processor may have taken that one: then this is the next, a little early. */
		if (bpf_map_pop_elem(&revisits, &revisit) != 0) return 0;
		struct flow *flow = flow_of(&revisit.tuple);
		if (!flow || flow->born != revisit.born) continue;
		if (is_over(flow, now)) forget(&revisit.tuple, flow);
		else revisit_later(&revisit.tuple, revisit.born, now);
	}
	return 0;
}
