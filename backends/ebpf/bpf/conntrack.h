/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The table of flows: the translation of packets by their tuple. A flow has one entry per direction, and each
 * of them leads to the other.
 */
#pragma once

#include "packet.h"

/* Timeout of an unanswered TCP connection, as net.netfilter.nf_conntrack_tcp_timeout_syn_sent. */
#define SYN_SECONDS 120
/* Timeout of a closed TCP connection, for packets still in flight. After that its port is free again. */
#define CLOSED_SECONDS 10
/* Timeout if the endpoint is in TIME_WAIT: TCP_TIMEWAIT_LEN, net/tcp.h */
#define TIME_WAIT_SECONDS 60
/* `seen` is not written for every packet, because CPUs would then wait for each other. */
#define SEEN_INTERVAL NANOSECONDS
/* Time until a flow is checked again, and the number of flows checked per new flow. */
#define REVISIT_AFTER (30 * NANOSECONDS)
#define REVISITS_PER_NEW_FLOW 4

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

/*
 * Reports whether `other` belongs to the same flow. If its entry was evicted, another flow may have the
 * tuple.
 */
static __always_inline int is_other_direction(const struct flow *other, const struct flow *flow)
{
	return other && other->born == flow->born;
}

/* Returns the entry of the other direction; NULL if it was evicted. */
static __always_inline struct flow *other_direction(const struct flow *flow)
{
	struct tuple tuple = reversed(&flow->translated);
	struct flow *other = flow_of(&tuple);
	return is_other_direction(other, flow) ? other : NULL;
}

static __always_inline int is_closed(const struct flow *flow)
{
	const __u32 both = FLOW_CLIENT_FINISHED | FLOW_ENDPOINT_FINISHED;
	return (flow->state & FLOW_RESET) || (flow->state & both) == both;
}

/* Idle timeout of a flow, in seconds. */
static __always_inline __u64 timeout_of(const struct flow *flow, const struct settings *settings)
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
	/* Signed, because another CPU may have seen a packet after `now`. */
	__s64 idle = now - flow->seen;
	return idle > (__s64)(timeout_of(flow, settings) * NANOSECONDS);
}

/* Reports whether both directions have been idle for longer than the timeout. */
VERIFIED_ONCE int is_expired(const struct flow *flow, __u64 now)
{
	struct settings *settings = settings_of_node();
	if (!flow || !settings || !is_idle(flow, settings, now)) return 0;
	struct flow *other = other_direction(flow);
	return !other || is_idle(other, settings, now);
}

/* Deletes both entries of the flow that has `tuple`. */
VERIFIED_ONCE int delete_flow(const struct tuple *tuple, const struct flow *flow)
{
	if (!tuple || !flow) return 0;
	/* Copies: before Linux 6.2 a key must be on the stack or in a map; an argument is not accepted. */
	struct tuple key = reversed(&flow->translated);
	struct flow *other = flow_of(&key);
	if (is_other_direction(other, flow)) bpf_map_delete_elem(&conntrack, &key);
	key = *tuple;
	bpf_map_delete_elem(&conntrack, &key);
	return 0;
}

/* ---- state from packets ---- */

/* Returns the flags of enum flow_state that a packet sets. */
static __always_inline __u32 state_from(const struct packet *packet, const struct flow *flow)
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

/* Creates the entry of the other direction again, unless another flow has its tuple. */
static __noinline int restore_other_direction(const struct packet *packet, const struct flow *flow)
{
	struct tuple tuple = reversed(&flow->translated);
	struct flow other = *flow;
	other.translated = reversed(&packet->tuple);
	other.flags ^= FLOW_REPLY;
	bpf_map_update_elem(&conntrack, &tuple, &other, BPF_NOEXIST);
	return 0;
}

/* Updates the state and the time of a flow after a packet. */
static __always_inline void update_flow(const struct packet *packet, struct flow *flow)
{
	__u64 now = coarse_time();
	__u32 news = state_from(packet, flow) & ~flow->state;
	int is_due = (__s64)(now - flow->seen) > (__s64)SEEN_INTERVAL;
	if (!news && !is_due) return;
	if (is_due) flow->seen = now;
	if (news) __sync_fetch_and_or(&flow->state, news);
	/* The lookup also protects the other entry, because the LRU map evicts recently used entries last. */
	struct flow *other = other_direction(flow);
	if (!other) restore_other_direction(packet, flow);
	else if (news) __sync_fetch_and_or(&other->state, news);
}

/* Reports whether the client opens a new connection with the port of a closed one. */
static __always_inline int is_reopened(const struct packet *packet, const struct flow *flow)
{
	return (packet->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN && !(flow->flags & FLOW_REPLY) && is_closed(flow);
}

/* ---- removal of expired flows ---- */

static __always_inline void queue_revisit(const struct tuple *tuple, __u64 born, __u64 now)
{
	struct revisit revisit = { .tuple = *tuple, .born = born, .due = now + REVISIT_AFTER };
	/* If the queue is full, the flow stays until the map evicts its entries. */
	bpf_map_push_elem(&revisits, &revisit, 0);
}

/*
 * Checks the flows that are due and deletes expired ones. It is called once per new flow and checks several
 * flows, so that expired ones cannot accumulate. Otherwise they would stay until the map is full, and idle
 * flows would be evicted before them.
 */
VERIFIED_ONCE int revisit_flows(__u64 now)
{
	for (int count = 0; count < REVISITS_PER_NEW_FLOW; count++) {
		struct revisit revisit;
		if (bpf_map_peek_elem(&revisits, &revisit) != 0 || (__s64)(revisit.due - now) > 0) return 0;
		/* If another CPU popped that flow, this pops the next one, a little early. */
		if (bpf_map_pop_elem(&revisits, &revisit) != 0) return 0;
		struct flow *flow = flow_of(&revisit.tuple);
		if (!flow || flow->born != revisit.born) continue;
		if (is_expired(flow, now)) delete_flow(&revisit.tuple, flow);
		else queue_revisit(&revisit.tuple, revisit.born, now);
	}
	return 0;
}
