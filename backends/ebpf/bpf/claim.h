/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * A new flow claims the tuple of its replies, which only one flow can have. A free source port is found by
 * trying if the source is the node's address, or if a client uses one port to reach the same endpoint through
 * two services.
 */
#pragma once

#include "others.h"

/* If nine of ten ports are taken, the odds of finding none are 1 : 850. */
#define CLAIM_ATTEMPTS 64
/*
 * After this many failed attempts most ports are taken, and closed connections lose their ports before their
 * timeout. Connections that their endpoint keeps in TIME_WAIT come last, because it does not reliably accept
 * another one with the same ports.
 */
#define ATTEMPTS_SPARING_CLOSED 2
#define ATTEMPTS_SPARING_TIME_WAIT 8

struct claim {
	struct tuple reply; /* the claimed tuple: from the endpoint */
	struct flow flow;   /* its translation: from the service to the client */
	__u32 attempts;
};

/* In a map because its tuple is used as a key (see delete_flow()). */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct claim);
} claims SEC(".maps");

/* The claim of the flow that this CPU is creating. */
static __always_inline struct claim *current_claim(void)
{
	__u32 only = 0;
	return bpf_map_lookup_elem(&claims, &only);
}

static __always_inline int insert_claim(struct claim *claim)
{
	return bpf_map_update_elem(&conntrack, &claim->reply, &claim->flow, BPF_NOEXIST) == 0;
}

static __always_inline int same_tuple(const struct tuple *a, const struct tuple *b)
{
	return same_address(&a->source, &b->source) && same_address(&a->destination, &b->destination) &&
	       a->source_port == b->source_port && a->destination_port == b->destination_port &&
	       a->protocol == b->protocol;
}

/* Reports whether the flow that holds the tuple may be deleted in favour of the claim. */
static __always_inline int is_evictable(const struct flow *holder, const struct claim *claim)
{
	if (claim->attempts <= ATTEMPTS_SPARING_CLOSED) return is_expired(holder, claim->flow.born);
	if (claim->attempts <= ATTEMPTS_SPARING_TIME_WAIT && holder->state & FLOW_ENDPOINT_FINISHED_FIRST) return 0;
	return is_closed(holder);
}

/* Tries to claim the tuple once; returns 1 on success. */
VERIFIED_ONCE int try_tuple(void)
{
	struct claim *claim = current_claim();
	if (!claim) return 0;
	claim->attempts++;
	/* Look it up before inserting: a failing update of the map costs far more than a lookup. */
	struct flow *holder = flow_of(&claim->reply);
	if (!holder) {
		if (insert_claim(claim)) return 1;
		holder = flow_of(&claim->reply);
	}
	if (!holder) return 0;
	if (same_tuple(&holder->translated, &claim->flow.translated)) {
		/*
		 * An equal flow exists: created by an earlier packet on another CPU, or its other entry was evicted.
		 */
		claim->flow.born = holder->born;
		return 1;
	}
	if (!is_evictable(holder, claim)) return 0;
	delete_flow(&claim->reply, holder);
	return insert_claim(claim);
}

/* Tries to claim the tuple, unless it is somebody else's; returns 1 on success. */
static __always_inline int try_free_tuple(struct __sk_buff *skb, const struct claim *claim, int is_masqueraded)
{
	return !is_taken_by_others(skb, &claim->reply, is_masqueraded) && try_tuple();
}

static __always_inline __be16 random_port(const struct settings *settings)
{
	__u32 ports = settings->last_port - settings->first_port + 1;
	return bpf_htons(settings->first_port + bpf_get_prandom_u32() % ports);
}

/*
 * Claims the tuple of a flow's replies. A flow that keeps the client's address tries the client's port first,
 * unless netfilter translates older flows: where br_netfilter handles the packets of a bridge, replies that
 * netfilter masquerades arrive from the bridge addressed to the client itself, so the client may have an older
 * flow with this port and endpoint. All others, and those whose port is taken, try random ports. Returns 0 if
 * no port is free.
 */
static __noinline int
claim_reply_tuple(struct __sk_buff *skb, struct claim *claim, const struct settings *settings, int is_masqueraded)
{
	/* SCTP must keep its port, because its checksum cannot be updated for another one. */
	int is_bound = claim->reply.protocol == IPPROTO_SCTP;
	int tries_own_port = !is_masqueraded && !(settings->flags & SETTING_FORMER_FLOWS);
	if ((tries_own_port || is_bound) && try_free_tuple(skb, claim, is_masqueraded)) return 1;
	for (int attempt = 0; attempt < CLAIM_ATTEMPTS && !is_bound; attempt++) {
		claim->reply.destination_port = random_port(settings);
		if (try_free_tuple(skb, claim, is_masqueraded)) return 1;
	}
	return 0;
}
