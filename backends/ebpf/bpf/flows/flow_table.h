/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The table of flows: the translation of packets by their tuple. A flow has one entry per direction, and each of
 * them leads to the other. The entries of a flow are in one of three maps: `conntrack_new` until the flow is
 * assured, and then `conntrack` (TCP) or `conntrack_udp` (other protocols).
 *
 * The kernel may give the memory of an entry to another flow at any time, even while a program reads or writes
 * it. Programs therefore translate packets by a copy whose checksum they have verified, and write to an entry
 * only if it still has the copy's time of birth. Between this check and the write, some nanoseconds remain in
 * which the write may hit another flow. It then changes that flow's state or numbers, never its translation.
 */
#pragma once

#include "../packets/packet.h"

/* A new flow, or one that moves to another map. */
struct claim {
	struct tuple reply; /* the claimed tuple: of packets from the endpoint */
	struct flow flow;   /* its translation: from the service to the client */
	struct flow holder; /* the flow that has the tuple, or that is checked */
	struct revisit revisit; /* the flow that is checked */
	__u8 is_syn; /* the packet opens a TCP connection */
	__u8 is_masqueraded;
	__be16 victim_port; /* port whose holder would be replaced */
	__u32 victim_cost; /* enum victim_cost */
	__u64 victim_idle;
	__u64 victim_born;
};

/*
 * In a map, because before Linux 6.2 a key must be on the stack or in a map, and the stack is small. A CPU
 * handles one packet at a time, so there is one claim per CPU.
 */
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

static __always_inline __u64 coarse_time(void)
{
	return bpf_ktime_get_coarse_ns();
}

static __always_inline void count_flow_event(__u32 event)
{
	__u64 *count = bpf_map_lookup_elem(&flow_events, &event);
	if (count) (*count)++;
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

static __always_inline int same_tuple(const struct tuple *a, const struct tuple *b)
{
	return same_address(&a->source, &b->source) && same_address(&a->destination, &b->destination) &&
	       a->source_port == b->source_port && a->destination_port == b->destination_port &&
	       a->protocol == b->protocol;
}

/* ---- lookup ---- */

static __always_inline struct flow *assured_entry(const struct tuple *tuple)
{
	if (tuple->protocol == IPPROTO_TCP) return bpf_map_lookup_elem(&conntrack, tuple);
	return bpf_map_lookup_elem(&conntrack_udp, tuple);
}

/* Returns the entry of a tuple; NULL if there is none. The caller must not rely on whose entry it is. */
static __always_inline struct flow *entry_of(const struct tuple *tuple)
{
	/* In this order, because a flow that becomes assured is inserted there before it is deleted here. */
	struct flow *entry = assured_entry(tuple);
	return entry ? entry : bpf_map_lookup_elem(&conntrack_new, tuple);
}

VERIFIED_ONCE __u32 sum_of_tuple(const struct tuple *tuple)
{
	__u32 power = FNV_PRIME;
	return tuple ? sum_of((const any_word *)tuple, sizeof(*tuple), &power) : 0;
}

/* FNV_PRIME to the power of the ten words of a tuple, modulo 2^32. */
#define BEHIND_TUPLE 0x5887be89

/*
 * Computes what sum_of() would over the tuple and all members before the checksum, as check_of() does for services and
 * backends/ebpf/maps/translate.ts for both. In parts, because the stack is small.
 */
static __always_inline __u32 check_of_flow(const struct tuple *tuple, const struct flow *flow)
{
	_Static_assert(sizeof(struct tuple) == 10 * sizeof(any_word), "BEHIND_TUPLE is for ten words");
	_Static_assert(offsetof(struct flow, translated) == 0, "no member is before the tuple");
	_Static_assert(offsetof(struct flow, service) == sizeof(struct tuple), "no member is behind the tuple");
	__u32 power = FNV_PRIME;
	__u32 length = offsetof(struct flow, check) - offsetof(struct flow, service);
	__u32 rest = sum_of((const any_word *)&flow->service, length, &power);
	return sum_of_tuple(tuple) + BEHIND_TUPLE * (sum_of_tuple(&flow->translated) + BEHIND_TUPLE * rest);
}

/* A second lookup finds the flow, unless it was just evicted. */
#define FLOW_READ_ATTEMPTS 3

/* Copies the flow of a tuple. Returns its entry, to write to; NULL if there is no flow. */
static __noinline struct flow *find_flow(const struct tuple *tuple, struct flow *flow)
{
	for (int attempt = 0; attempt < FLOW_READ_ATTEMPTS; attempt++) {
		struct flow *entry = entry_of(tuple);
		if (!entry) return NULL;
		*flow = *entry;
		/* Use the copy only: the entry must not be read again, because it may have changed. */
		barrier();
		if (flow->check == check_of_flow(tuple, flow)) return entry;
	}
	return NULL;
}

/* Reports whether an entry belongs to the flow. Another flow may have its tuple or its memory by now. */
static __always_inline int is_of_flow(const struct flow *entry, const struct flow *flow)
{
	return entry && entry->born == flow->born;
}

/* Returns the entry of the other direction; NULL if it was evicted. */
static __always_inline struct flow *other_direction(const struct flow *flow)
{
	struct tuple tuple = reversed(&flow->translated);
	struct flow *other;
	if (!(flow->state & FLOW_ASSURED)) {
		other = bpf_map_lookup_elem(&conntrack_new, &tuple);
		if (is_of_flow(other, flow)) return other;
	}
	other = entry_of(&tuple);
	return is_of_flow(other, flow) ? other : NULL;
}

/* ---- insertion and deletion ---- */

static __always_inline void delete_entry(const struct tuple *key, __u32 state)
{
	if (!(state & FLOW_ASSURED)) bpf_map_delete_elem(&conntrack_new, key);
	else if (key->protocol == IPPROTO_TCP) bpf_map_delete_elem(&conntrack, key);
	else bpf_map_delete_elem(&conntrack_udp, key);
}

/*
 * Inserts the entry in the claim; returns 1 on success. A tuple belongs to one flow, although its entry may be in
 * one of two maps. Each program therefore inserts first, and looks into the other map afterwards: of two that
 * claim a tuple at the same time, at most one succeeds.
 */
VERIFIED_ONCE int insert_claim(void)
{
	struct claim *claim = current_claim();
	if (!claim) return 0;
	const struct tuple *key = &claim->reply;
	struct flow *flow = &claim->flow;
	struct flow *rival;
	flow->check = check_of_flow(key, flow);
	if (!(flow->state & FLOW_ASSURED)) {
		if (bpf_map_update_elem(&conntrack_new, key, flow, BPF_NOEXIST) != 0) return 0;
		if (!assured_entry(key)) return 1;
		bpf_map_delete_elem(&conntrack_new, key);
		return 0;
	}
	if (key->protocol == IPPROTO_TCP) {
		if (bpf_map_update_elem(&conntrack, key, flow, BPF_NOEXIST) != 0) return 0;
	} else {
		if (bpf_map_update_elem(&conntrack_udp, key, flow, BPF_NOEXIST) != 0) return 0;
	}
	rival = bpf_map_lookup_elem(&conntrack_new, key);
	if (!rival || is_of_flow(rival, flow)) return 1;
	delete_entry(key, flow->state);
	return 0;
}

/* Deletes both entries of the flow that has `tuple`. `flow` is a copy of its entry. */
VERIFIED_ONCE int delete_flow(const struct tuple *tuple, const struct flow *flow)
{
	if (!tuple || !flow) return 0;
	/* Copies: before Linux 6.2 a key must be on the stack or in a map; an argument is not accepted. */
	struct tuple key = reversed(&flow->translated);
	if (is_of_flow(entry_of(&key), flow)) delete_entry(&key, flow->state);
	key = *tuple;
	delete_entry(&key, flow->state);
	if (flow->state & FLOW_ASSURED) count_flow_event(FLOW_EVENT_DELETED);
	return 0;
}

/* Fills the claim with the entry of the other direction of a packet's flow. */
static __always_inline void claim_other_direction(const struct packet *packet, const struct flow *flow, struct claim *claim)
{
	claim->reply = reversed(&flow->translated);
	claim->flow = *flow;
	claim->flow.translated = reversed(&packet->tuple);
	claim->flow.flags ^= FLOW_REPLY;
	/* The packet acknowledges what was sent, and begins where everything was acknowledged. */
	claim->flow.end = packet->acknowledgement;
	claim->flow.acked = packet->sequence;
	claim->flow.device = 0;
}

/* Creates the entry of the other direction again, unless another flow has its tuple. */
static __noinline int restore_other_direction(const struct packet *packet, const struct flow *flow)
{
	struct claim *claim = current_claim();
	if (!claim) return 0;
	claim_other_direction(packet, flow, claim);
	if (insert_claim()) count_flow_event(FLOW_EVENT_RESTORED);
	return 0;
}
