/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* The first packet of a flow: its origin, its endpoint, and the source address that the endpoint sees. */
#pragma once

#include "source_address.h"

#define IPV4_FIRST_MULTICAST 224
#define IPV6_MULTICAST 0xff

/* ---- origin ---- */

static __always_inline int is_own_address(const struct address *address)
{
	__u32 *flags = bpf_map_lookup_elem(&node_addresses, address);
	return flags && *flags & NODE_ADDRESS_OWN;
}

/* Reports whether no packet from outside may have this source. The stack drops packets that do. */
static __always_inline int is_martian(const struct address *source)
{
	if (is_loopback(source)) return 1;
	if (is_ipv4_address(source)) {
		__u8 first = bpf_ntohl(source->word[3]) >> 24;
		if (first == 0 || first >= IPV4_FIRST_MULTICAST) return 1;
	} else {
		__u8 first = bpf_ntohl(source->word[0]) >> 24;
		if (first == IPV6_MULTICAST || is_unspecified(source)) return 1;
	}
	return is_own_address(source);
}

enum origin {
	/* The node does not distinguish pods from other sources (docs/behaviour.md §4.2). */
	ORIGIN_UNKNOWN,
	ORIGIN_LOCAL_POD,
	ORIGIN_ELSEWHERE,
};

static __always_inline enum origin
origin_of(struct __sk_buff *skb, const struct packet *packet, const struct settings *settings)
{
	int is_local;
	if (settings->flags & SETTING_LOCAL_BY_DEVICE) {
		__u32 index = skb->ifindex;
		struct device *device = bpf_map_lookup_elem(&devices, &index);
		is_local = device && device->flags & DEVICE_LOCAL_PODS;
	} else if (packet->family == AF_INET) {
		if (!(settings->flags & SETTING_LOCAL_BY_ADDRESS_IPV4)) return ORIGIN_UNKNOWN;
		is_local = is_in(&settings->local_pods_ipv4, &packet->tuple.source);
	} else {
		if (!(settings->flags & SETTING_LOCAL_BY_ADDRESS_IPV6)) return ORIGIN_UNKNOWN;
		is_local = is_in(&settings->local_pods_ipv6, &packet->tuple.source);
	}
	return is_local ? ORIGIN_LOCAL_POD : ORIGIN_ELSEWHERE;
}

/* ---- endpoint ---- */

#define FNV_BASIS 2166136261

/* FNV-1a: the same on every node. */
static __always_inline __u32 fnv1a(__u32 hash, const void *from, unsigned int length)
{
	const __u8 *bytes = from;
	for (unsigned int index = 0; index < length; index++) hash = (hash ^ bytes[index]) * FNV_PRIME;
	return hash;
}

/*
 * Index into a Maglev table. A connection must find its endpoint on every node, because routers may redirect
 * it to another one; with affinity this holds for all connections of a client. The rest of the tuple only
 * names the service.
 */
static __always_inline __u32 maglev_hash(const struct tuple *tuple, int has_affinity)
{
	__u32 hash = fnv1a(FNV_BASIS, &tuple->source, sizeof(tuple->source));
	return has_affinity ? hash : fnv1a(hash, &tuple->source_port, sizeof(tuple->source_port));
}

static __always_inline int is_short_circuited(const struct service *service, enum origin origin)
{
	return service->verdict == VERDICT_LOCAL_EXTERNAL && origin == ORIGIN_LOCAL_POD;
}

/* The endpoints that new connections from this origin get. */
static __always_inline struct list list_for(const struct service *service, enum origin origin)
{
	int is_local = service->verdict != VERDICT_BALANCE_CLUSTER && !is_short_circuited(service, origin);
	return is_local ? service->local : service->cluster;
}

static __noinline int
choose_endpoint(const struct service *service, enum origin origin, const struct tuple *tuple, struct endpoint *endpoint)
{
	struct list list = list_for(service, origin);
	struct stickiness sticky = { .kept = list };
	if (service->affinity_seconds) {
		sticky.lifetime = service->affinity_seconds * NANOSECONDS;
		sticky.client.service = service->id;
		sticky.client.kind = CLIENT_ADDRESS;
		sticky.client.name = tuple->source;
	}
	__u32 hash = service->flags & SERVICE_MAGLEV ? maglev_hash(tuple, sticky.lifetime != 0) : hash_for(&sticky);
	return choose(&affinity, service, &list, &sticky, hash, endpoint);
}

/* ---- source address ---- */

static __always_inline int
is_masqueraded(const struct service *service, enum origin origin, const struct settings *settings,
	       const struct tuple *to)
{
	/*
	 * An endpoint on the node itself: its replies pass this node's stack anyway, and no packet with the
	 * node's address as source may come from outside.
	 */
	if (is_own_address(&to->destination)) return 0;
	/* Hairpin: otherwise the endpoint would reply to itself directly. */
	if (same_address(&to->source, &to->destination)) return 1;
	if (service->flags & SERVICE_MASQUERADE_ALL) return 1;
	if (!(service->flags & SERVICE_MASQUERADE_OFF_NODE)) return 0;
	return settings->flags & SETTING_MASQUERADE_ALL || origin == ORIGIN_ELSEWHERE;
}

/*
 * Reports whether a packet goes back to the bridge from which it came. The endpoint would reply to the client directly,
 * past the programs.
 */
static __always_inline int is_switched(struct __sk_buff *skb, const struct bpf_fib_lookup *route)
{
	__u32 index = skb->ifindex;
	struct device *device = bpf_map_lookup_elem(&devices, &index);
	return device && device->bridge != 0 && device->bridge == route->ifindex;
}

/* ---- the flow ---- */

/*
 * Creates the entries of a flow, and sets the source port of `to`. Returns 0, or the enum drop_reason of a
 * failure.
 */
static __noinline int create_flow(struct __sk_buff *skb, const struct tuple *tuple, struct tuple *to,
				  const struct service *service, __u32 flags)
{
	struct settings *settings = settings_of_node();
	struct claim *claim = current_claim();
	if (!settings || !claim) return DROP_NO_PORT;
	__u64 now = coarse_time();
	__builtin_memset(claim, 0, sizeof(*claim));
	claim->reply = reversed(to);
	claim->flow.translated = reversed(tuple);
	claim->flow.born = now;
	claim->flow.seen = now;
	claim->flow.service = service->id;
	claim->flow.generation = service->generation;
	claim->flow.flags = flags | FLOW_REPLY;
	if (!claim_reply_tuple(skb, claim, settings, !same_address(&tuple->source, &to->source))) return DROP_NO_PORT;

	to->source_port = claim->reply.destination_port;
	claim->flow.translated = *to;
	claim->flow.flags = flags;
	if (bpf_map_update_elem(&conntrack, tuple, &claim->flow, BPF_ANY) != 0) {
		bpf_map_delete_elem(&conntrack, &claim->reply);
		return DROP_MAP_FULL;
	}
	queue_revisit(tuple, claim->flow.born, now);
	return 0;
}
