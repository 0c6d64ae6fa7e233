/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The source of masqueraded connections: the address that netfilter's masquerade would choose on the device by which
 * they leave.
 */
#pragma once

#include "route.h"

/* More addresses than any device has. */
#define MAX_DEVICE_ADDRESSES 256

static __always_inline int is_in(const struct network *network, const struct address *address)
{
	for (int word = 0; word < 4; word++) {
		if ((address->word[word] & network->mask.word[word]) != network->network.word[word]) return 0;
	}
	return 1;
}

static __always_inline __u32 leading_zeros(__u32 word)
{
	__u32 zeros = 0;
	for (__u32 width = 16; width > 0; width /= 2) {
		if (word >> (32 - width)) continue;
		zeros += width;
		word <<= width;
	}
	return word ? zeros : 32;
}

/* The number of bits that the addresses have in common from the first on, at most those of the mask. */
VERIFIED_ONCE int common_bits(const struct address *a, const struct address *b, const struct address *mask)
{
	__u32 bits = 0;
	if (!a || !b || !mask) return 0;
	for (int word = 0; word < 4; word++) {
		__u32 different = bpf_ntohl((a->word[word] ^ b->word[word]) | ~mask->word[word]);
		bits += leading_zeros(different);
		if (different) break;
	}
	return bits;
}

struct source_search {
	struct device_address_key key;
	struct address target;
	struct address source;
	__u32 bits; /* that the best address has in common with the target, plus one; 0: none found */
};

/*
 * IPv4: the first address whose network has the next hop, else the first one (inet_select_addr() in
 * net/ipv4/devinet.c). IPv6: the one that has most bits in common with the destination (RFC 6724, rule 8).
 */
static long compare_address(__u32 position, struct source_search *search)
{
	search->key.position = position;
	struct device_address *candidate = bpf_map_lookup_elem(&device_addresses, &search->key);
	if (!candidate) return 1;
	__u32 bits = 1;
	if (search->key.family == AF_INET) bits += is_in(&candidate->network, &search->target);
	else bits += common_bits(&candidate->address, &search->target, &candidate->network.mask);
	if (bits <= search->bits) return 0;
	search->source = candidate->address;
	search->bits = bits;
	return 0;
}

/* Sets the source of a masqueraded packet to `work->to`, whose route is `work->route`. */
VERIFIED_ONCE int masquerade(void)
{
	struct workspace *work = current_workspace();
	struct settings *settings = settings_of_node();
	if (!work || !settings) return 0;
	const struct bpf_fib_lookup *route = &work->route;
	__u16 family = work->packet.family;
	struct source_search search = {
		.key = { .device = route->ifindex, .family = family },
		.target = work->to.destination,
		.source = family == AF_INET ? settings->source_ipv4 : settings->source_ipv6,
	};
	/* The gateway, or the destination itself. The gateway of an IPv4 route may have an IPv6 address. */
	if (family == AF_INET && route->family == AF_INET) search.target = address_of_ipv4(route->ipv4_dst);
	bpf_loop(MAX_DEVICE_ADDRESSES, compare_address, &search, 0);
	work->to.source = search.source;
	return 0;
}
