/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * A new flow claims the tuple of its replies, which only one flow can have. A free source port is found by
 * trying if the source is the node's address, or if a client uses one port to reach the same endpoint through
 * two services. If no free one is found, a flow that needs its port least gives way.
 */
#pragma once

#include "others.h"

/* If nine of ten ports are taken, the odds of finding none are 1 : 850. */
#define CLAIM_ATTEMPTS 64
/*
 * After each this many attempts, the best of the flows that were found may lose its port; a closed connection sooner,
 * because a busy service may have closed connections on all ports, and each attempt takes two lookups.
 */
#define ATTEMPTS_PER_VICTIM 8
#define ATTEMPTS_PER_CLOSED_VICTIM 2
/* Idle times after which a flow may lose its port. A handshake in progress is protected. */
#define SPARED_HANDSHAKE (NANOSECONDS / 4)
#define SPARED_QUESTION NANOSECONDS
#define SPARED_ANSWERED (2 * NANOSECONDS)

/* How bad it is if a flow loses its port: flows with less go first, and among equal ones the longest idle. */
enum victim_cost {
	VICTIM_EXPIRED,
	VICTIM_CLOSED,
	/* Not assured. A datagram that was answered most often gets no other answer, an old one no answer any more. */
	VICTIM_NEW,
	/* The endpoint does not reliably accept another connection with the same ports. */
	VICTIM_TIME_WAIT,
	VICTIM_STREAM,
	NO_VICTIM,
};

/* Time without packets in either direction; of a closed connection, in its own, which saves a lookup. */
static __always_inline __u64 idle_time(const struct flow *flow, __u64 now)
{
	__s64 idle = now - flow->seen;
	int is_dead = flow->translated.protocol == IPPROTO_TCP && is_closed(flow->state);
	struct flow *other = is_dead ? NULL : other_direction(flow);
	if (other && (__s64)(now - other->seen) < idle) idle = now - other->seen;
	return idle > 0 ? idle : 0;
}

/* Returns the enum victim_cost of a flow that was idle for a time. */
static __always_inline __u32 victim_cost(const struct flow *flow, __u64 idle)
{
	__u32 state = flow->state;
	if (flow->translated.protocol == IPPROTO_TCP) {
		if (state & FLOW_REOPENED && idle <= SEEN_INTERVAL) return NO_VICTIM;
		if (is_in_time_wait(state)) return VICTIM_TIME_WAIT;
		if (is_closed(state)) return VICTIM_CLOSED;
		return !(state & FLOW_ASSURED) && idle >= SPARED_HANDSHAKE ? VICTIM_NEW : NO_VICTIM;
	}
	if (idle < (state & FLOW_ANSWERED ? SPARED_ANSWERED : SPARED_QUESTION)) return NO_VICTIM;
	return state & FLOW_ASSURED ? VICTIM_STREAM : VICTIM_NEW;
}

/* Remembers the holder of the tuple if no better victim was found yet. */
VERIFIED_ONCE int consider_victim(void)
{
	struct settings *settings = settings_of_node();
	struct claim *claim = current_claim();
	if (!settings || !claim) return 0;
	const struct flow *holder = &claim->holder;
	__u64 idle = idle_time(holder, claim->flow.born);
	int is_late = idle > timeout_of(holder, settings) * NANOSECONDS;
	__u32 cost = is_late ? VICTIM_EXPIRED : victim_cost(holder, idle);
	if (cost > claim->victim_cost || (cost == claim->victim_cost && idle <= claim->victim_idle)) return 0;
	claim->victim_cost = cost;
	claim->victim_idle = idle;
	claim->victim_born = holder->born;
	claim->victim_port = claim->reply.destination_port;
	return 0;
}

enum tuple_use {
	/* Another flow has the tuple, and was considered as a victim. */
	TUPLE_TAKEN,
	TUPLE_FREE,
	/* An equal flow has it: its other entry was evicted, or another CPU has just created it. */
	TUPLE_SHARED,
};

/* Looks up who has the claimed tuple, because a failing insertion costs far more. Returns enum tuple_use. */
VERIFIED_ONCE int look_up_tuple(void)
{
	struct claim *claim = current_claim();
	if (!claim) return TUPLE_TAKEN;
	struct flow *holder = &claim->holder;
	struct flow *entry = find_flow(&claim->reply, holder);
	if (!entry) return TUPLE_FREE;
	if (same_tuple(&holder->translated, &claim->flow.translated)) {
		if (claim->is_syn) {
			delete_flow(&claim->reply, holder);
			return TUPLE_FREE;
		}
		claim->flow.born = holder->born;
		/* A FIN counts if the client knows the endpoint's number. */
		if (claim->flow.end != holder->end) claim->flow.state = 0;
		if (claim->flow.state && is_of_flow(entry, holder))
			__sync_fetch_and_or(&entry->state, claim->flow.state);
		claim->flow.state |= holder->state;
		return TUPLE_SHARED;
	}
	consider_victim();
	return TUPLE_TAKEN;
}

/* Selects the port of the best victim, if it costs at most `max_cost`. Returns its enum victim_cost, or NO_VICTIM. */
static __always_inline __u32 select_victim(struct claim *claim, __u32 max_cost)
{
	__u32 cost = claim->victim_cost;
	if (cost == NO_VICTIM || cost > max_cost) return NO_VICTIM;
	claim->victim_cost = NO_VICTIM;
	claim->reply.destination_port = claim->victim_port;
	return cost;
}

/* Inserts the claim, in place of the selected victim if there is one; returns 1 on success. */
VERIFIED_ONCE int insert_in_place(__u32 victim_cost)
{
	struct claim *claim = current_claim();
	if (!claim || victim_cost == NO_VICTIM) return insert_claim();
	/* If another CPU has taken the port meanwhile, the insertion fails. */
	if (find_flow(&claim->reply, &claim->holder) && claim->holder.born == claim->victim_born)
		delete_flow(&claim->reply, &claim->holder);
	if (victim_cost != VICTIM_EXPIRED) count_flow_event(FLOW_EVENT_PORT_TAKEN);
	return insert_claim();
}

/* Returns a port of `source_ports`. */
static __always_inline __be16 random_port(const struct settings *settings)
{
	__u32 index = bpf_get_prandom_u32() % settings->port_count;
	for (int range = 0; range < PORT_RANGES; range++) {
		const struct port_range *ports = &settings->source_ports[range];
		if (index < ports->count) return bpf_htons(ports->first + index);
		index -= ports->count;
	}
	return 0;
}

/* Returns the most that a victim may cost after `attempts`. */
static __always_inline __u32 max_victim_cost(__u32 attempts)
{
	if (attempts % ATTEMPTS_PER_VICTIM == 0) return VICTIM_STREAM;
	return attempts % ATTEMPTS_PER_CLOSED_VICTIM == 0 ? VICTIM_CLOSED : VICTIM_EXPIRED;
}

/* Tries to claim the tuple in the claim, in place of a victim of at most `max_cost`; returns 1 on success. */
static __always_inline int try_tuple(struct __sk_buff *skb, struct claim *claim, __u32 max_cost)
{
	int use = look_up_tuple();
	if (use == TUPLE_SHARED) return 1;
	__u32 victim = NO_VICTIM;
	if (use == TUPLE_TAKEN) {
		victim = select_victim(claim, max_cost);
		if (victim == NO_VICTIM) return 0;
	}
	return !is_taken_by_others(skb, &claim->reply, claim->is_masqueraded) && insert_in_place(victim);
}

struct search_port {
	struct __sk_buff *skb;
	int is_found;
};

/* Tries a random port; for bpf_loop(). */
static long try_port(__u32 index, struct search_port *search)
{
	struct settings *settings = settings_of_node();
	struct claim *claim = current_claim();
	if (!settings || !claim) return 1;
	claim->reply.destination_port = random_port(settings);
	search->is_found = try_tuple(search->skb, claim, max_victim_cost(index + 1));
	return search->is_found;
}

/*
 * Claims the tuple of a flow's replies. A flow that keeps the client's address tries the client's port first, all others
 * and those whose port is taken random ones. Returns 0 if no port is free.
 */
static __noinline int claim_reply_tuple(struct __sk_buff *skb)
{
	struct settings *settings = settings_of_node();
	struct claim *claim = current_claim();
	if (!settings || !claim) return 0;
	/* SCTP must keep its port, because its checksum cannot be updated for another one. */
	int is_bound = claim->reply.protocol == IPPROTO_SCTP;
	int tries_own_port = is_bound || !(claim->is_masqueraded || avoids_ports_of_clients(settings));
	if (tries_own_port && try_tuple(skb, claim, is_bound ? VICTIM_STREAM : VICTIM_EXPIRED)) return 1;
	struct search_port search = { .skb = skb };
	/* A function per attempt, because the verifier would process each round of a loop. */
	if (!is_bound) bpf_loop(CLAIM_ATTEMPTS, try_port, &search, 0);
	return search.is_found;
}
