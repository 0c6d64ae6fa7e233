/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * A new flow claims the tuple of its answers. Only one flow can have it, so where the source is the node's address a
 * free source port is looked for by trying; and where a client talks to one endpoint by two services with one port, too.
 */
#pragma once

#include "conntrack.h"

/* With nine of ten ports taken, the odds to find none are 1 : 850. */
#define CLAIM_ATTEMPTS 64
/*
 * Most ports are taken when so many attempts were in vain, and connections that are closed lose theirs before their
 * time. Those that their endpoint keeps in TIME_WAIT come last: it takes no other with the same ports well.
 */
#define PATIENT_ATTEMPTS 2
#define ATTEMPTS_WITHOUT_TIME_WAIT 8

struct claim {
	struct tuple answer; /* what is claimed: from the endpoint */
	struct flow flow;    /* what it becomes: from the service to the client */
	__u32 attempts;
};

/* In a map, for its tuple is a key (see forget()). */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct claim);
} claims SEC(".maps");

/* That of the flow which this processor is beginning. */
static __always_inline struct claim *claim_of_new_flow(void)
{
	__u32 only = 0;
	return bpf_map_lookup_elem(&claims, &only);
}

static __always_inline int take(struct claim *claim)
{
	return bpf_map_update_elem(&conntrack, &claim->answer, &claim->flow, BPF_NOEXIST) == 0;
}

static __always_inline int same_tuple(const struct tuple *a, const struct tuple *b)
{
	return same_address(&a->source, &b->source) && same_address(&a->destination, &b->destination) &&
	       a->source_port == b->source_port && a->destination_port == b->destination_port &&
	       a->protocol == b->protocol;
}

/* Whether the flow that has the tuple has to give it away. */
static __always_inline int gives_way(const struct flow *holder, const struct claim *claim)
{
	if (claim->attempts <= PATIENT_ATTEMPTS) return is_over(holder, claim->flow.born);
	if (claim->attempts <= ATTEMPTS_WITHOUT_TIME_WAIT && holder->state & FLOW_ENDPOINT_FINISHED_FIRST) return 0;
	return is_closed(holder);
}

/* 1 when the tuple is the claim's now. */
VERIFIED_ONCE int try_tuple(void)
{
	struct claim *claim = claim_of_new_flow();
	if (!claim) return 0;
	claim->attempts++;
	/* Looked for before it is taken: an update that finds the tuple taken costs the map far more than a lookup. */
	struct flow *holder = flow_of(&claim->answer);
	if (!holder) {
		if (take(claim)) return 1;
		holder = flow_of(&claim->answer);
	}
	if (!holder) return 0;
	if (same_tuple(&holder->translated, &claim->flow.translated)) {
		/* An earlier packet of the same flow, on another processor, or before the map had no room for its other half. */
		claim->flow.born = holder->born;
		return 1;
	}
	if (!gives_way(holder, claim)) return 0;
	forget(&claim->answer, holder);
	return take(claim);
}

static __always_inline __be16 any_port(const struct settings *settings)
{
	__u32 ports = settings->last_port - settings->first_port + 1;
	return bpf_htons(settings->first_port + bpf_get_prandom_u32() % ports);
}

/*
 * Claims the tuple of the answers to a flow from the client's own address with the port it has; else, or when that is
 * taken, with any other. 0 when no port is free.
 */
static __noinline int is_granted(struct claim *claim, const struct settings *settings, int is_masqueraded)
{
	/* The checksum of SCTP can not follow another port. */
	int is_bound = claim->answer.protocol == IPPROTO_SCTP;
	if ((!is_masqueraded || is_bound) && try_tuple()) return 1;
	for (int attempt = 0; attempt < CLAIM_ATTEMPTS && !is_bound; attempt++) {
		claim->answer.destination_port = any_port(settings);
		if (try_tuple()) return 1;
	}
	return 0;
}
