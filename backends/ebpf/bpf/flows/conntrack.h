/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Connection tracking: the states of flows and their timeouts. docs/ebpf-packets.md has a diagram. */
#pragma once

#include "flow_table.h"

/* Timeouts of a TCP connection without an answer and without the client's acknowledgement of it, as in netfilter. */
#define SYN_SENT_SECONDS 120
#define SYN_RECEIVED_SECONDS 60
/* Timeout of a closed TCP connection, for packets still in flight. After that its port is free again. */
#define CLOSED_SECONDS 10
/* Timeout if the endpoint is in TIME_WAIT: TCP_TIMEWAIT_LEN, net/tcp.h */
#define TIME_WAIT_SECONDS 60
/* An answered flow of another protocol is assured if it has packets after this time, as a stream in netfilter. */
#define STREAM_AFTER (2 * NANOSECONDS)
/* `seen` is not written for every packet, because CPUs would then wait for each other. */
#define SEEN_INTERVAL NANOSECONDS
/* Time until a flow is checked again, and the number of flows checked per new flow. */
#define REVISIT_AFTER (30 * NANOSECONDS)
#define REVISITS_PER_NEW_FLOW 4

/* ---- states and timeouts ---- */

static __always_inline int is_finished(__u32 state)
{
	const __u32 both = FLOW_CLIENT_FINISHED | FLOW_ENDPOINT_FINISHED;
	return (state & both) == both;
}

static __always_inline int is_closed(__u32 state)
{
	return state & (FLOW_CLIENT_RESET | FLOW_ENDPOINT_RESET) || is_finished(state);
}

/* Reports whether the former connection may still show that it goes on: see reopening.h. `seen` is later than the SYN. */
static __always_inline int is_on_trial(const struct flow *flow, __u64 now)
{
	return flow->state & FLOW_REOPENED && (__s64)(now - flow->seen) <= (__s64)SEEN_INTERVAL;
}

/* Reports whether a connection is over, so that another one may have its tuple. */
static __always_inline int is_over(const struct flow *flow, __u64 now)
{
	return is_closed(flow->state) && !is_on_trial(flow, now);
}

/* Reports whether the endpoint keeps the connection in TIME_WAIT. */
static __always_inline int is_in_time_wait(__u32 state)
{
	return is_finished(state) && state & FLOW_ENDPOINT_FINISHED_FIRST &&
	       !(state & (FLOW_CLIENT_RESET | FLOW_ENDPOINT_RESET));
}

/* Idle timeout of a flow, in seconds. */
static __always_inline __u64 timeout_of(const struct flow *flow, const struct settings *settings)
{
	__u32 state = flow->state;
	if (flow->translated.protocol != IPPROTO_TCP)
		return state & FLOW_ASSURED ? settings->udp_stream_seconds : settings->udp_seconds;
	if (is_in_time_wait(state)) return TIME_WAIT_SECONDS;
	if (is_closed(state)) return CLOSED_SECONDS;
	if (!(state & FLOW_ASSURED)) return state & FLOW_ANSWERED ? SYN_RECEIVED_SECONDS : SYN_SENT_SECONDS;
	if (state & (FLOW_CLIENT_FINISHED | FLOW_ENDPOINT_FINISHED)) return settings->tcp_closing_seconds;
	return settings->tcp_established_seconds;
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

/* Changes the state of both entries of a flow, and of the copy `flow`. */
static __always_inline void
change_state(struct flow *entry, struct flow *other, struct flow *flow, __u32 set, __u32 clear)
{
	__u32 state = (flow->state & ~clear) | set;
	if (state == flow->state) return;
	if (is_of_flow(entry, flow)) {
		if (clear) __sync_fetch_and_and(&entry->state, ~clear);
		__sync_fetch_and_or(&entry->state, set);
	}
	if (is_of_flow(other, flow)) {
		if (clear) __sync_fetch_and_and(&other->state, ~clear);
		__sync_fetch_and_or(&other->state, set);
	}
	flow->state = state;
}

/* ---- removal of flows ---- */

static __always_inline void queue_revisit(struct revisit *revisit, __u64 now)
{
	revisit->due = now + REVISIT_AFTER;
	/* If the queue is full, the flow stays until the map evicts its entries. */
	bpf_map_push_elem(&revisits, revisit, 0);
}

/* Deletes the oldest closed flow, if its time has come or `now` is 0. Returns 0 if there is nothing to delete. */
VERIFIED_ONCE int delete_closed(__u64 now)
{
	struct claim *claim = current_claim();
	if (!claim) return 0;
	struct revisit *revisit = &claim->revisit;
	struct flow *flow = &claim->holder;
	if (bpf_map_peek_elem(&closed_flows, revisit) != 0 || (now && (__s64)(revisit->due - now) > 0)) return 0;
	/* If another CPU popped that flow, this pops the next one, a little early. */
	if (bpf_map_pop_elem(&closed_flows, revisit) != 0) return 0;
	if (!find_flow(&revisit->tuple, flow) || flow->born != revisit->born) return 1;
	if (is_closed(flow->state)) delete_flow(&revisit->tuple, flow);
	return 1;
}

/*
 * Checks the flows that are due and deletes expired ones. It is called once per new flow and checks several
 * flows, so that expired ones cannot accumulate. Otherwise they would stay until the map is full, and idle
 * flows would be evicted before them.
 */
VERIFIED_ONCE int revisit_flows(__u64 now)
{
	struct claim *claim = current_claim();
	if (!claim) return 0;
	struct revisit *revisit = &claim->revisit;
	struct flow *flow = &claim->holder;
	for (int count = 0; count < REVISITS_PER_NEW_FLOW; count++) {
		if (!delete_closed(now)) break;
	}
	for (int count = 0; count < REVISITS_PER_NEW_FLOW; count++) {
		if (bpf_map_peek_elem(&revisits, revisit) != 0 || (__s64)(revisit->due - now) > 0) return 0;
		if (bpf_map_pop_elem(&revisits, revisit) != 0) return 0;
		if (!find_flow(&revisit->tuple, flow) || flow->born != revisit->born) continue;
		if (is_expired(flow, now)) delete_flow(&revisit->tuple, flow);
		else queue_revisit(revisit, now);
	}
	return 0;
}

/* Queues a connection that was just closed for its deletion. */
static __noinline int queue_closed(const struct tuple *tuple, const struct flow *flow, __u64 now)
{
	__u64 seconds = is_in_time_wait(flow->state) ? TIME_WAIT_SECONDS : CLOSED_SECONDS;
	struct revisit revisit = { .tuple = *tuple, .born = flow->born, .due = now + seconds * NANOSECONDS };
	if (bpf_map_push_elem(&closed_flows, &revisit, 0) == 0) return 0;
	/* The queue is full, so the oldest closed flow goes early. */
	delete_closed(0);
	bpf_map_push_elem(&closed_flows, &revisit, 0);
	return 0;
}

/* ---- assurance ---- */

/* Inserts the entry in the claim, unless another CPU that assures the same flow has done so. */
static __always_inline int insert_assured(const struct claim *claim, const struct flow *flow)
{
	return insert_claim() || is_of_flow(assured_entry(&claim->reply), flow);
}

/*
 * Moves a flow to the map of assured flows. The entries are inserted there before the old ones are deleted, so
 * that packets of the flow always find one. Returns the new entry of this direction; NULL if it was not moved,
 * because one of its entries was evicted and another flow has the tuple.
 */
static __noinline struct flow *
assure(const struct packet *packet, struct flow *flow, const struct flow *other, __u64 now)
{
	struct claim *claim = current_claim();
	if (!claim) return NULL;
	flow->seen = now;
	flow->state |= FLOW_ASSURED;
	claim_other_direction(packet, flow, claim);
	if (other) claim->flow.device = other->device;
	int is_moved = insert_assured(claim, flow);
	claim->reply = packet->tuple;
	claim->flow = *flow;
	if (!is_moved || !insert_assured(claim, flow)) {
		flow->state &= ~FLOW_ASSURED;
		return NULL;
	}
	bpf_map_delete_elem(&conntrack_new, &claim->reply);
	claim->reply = reversed(&flow->translated);
	bpf_map_delete_elem(&conntrack_new, &claim->reply);
	claim->revisit.tuple = packet->tuple;
	claim->revisit.born = flow->born;
	queue_revisit(&claim->revisit, now);
	count_flow_event(FLOW_EVENT_ASSURED);
	struct flow *entry = assured_entry(&claim->revisit.tuple);
	return is_of_flow(entry, flow) ? entry : NULL;
}

/* Follows a packet of a protocol without states. Returns the entry of its direction; NULL if that is unknown. */
static __always_inline struct flow *
follow_datagram(const struct packet *packet, struct flow *entry, struct flow *flow, __u64 now)
{
	if (flow->state & FLOW_ASSURED) return entry;
	if (flow->flags & FLOW_REPLY && !(flow->state & FLOW_ANSWERED))
		change_state(entry, other_direction(flow), flow, FLOW_ANSWERED, 0);
	int is_stream = flow->state & FLOW_ANSWERED && (__s64)(now - flow->born) > (__s64)STREAM_AFTER;
	return is_stream ? assure(packet, flow, other_direction(flow), now) : entry;
}
