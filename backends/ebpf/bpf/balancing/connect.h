/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* The first packet of a flow: its origin, its endpoint, and the source address that the endpoint sees. */
#pragma once

#include "../forwarding/source_address.h"

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
		is_local = device_flags(skb->ifindex) & DEVICE_LOCAL_PODS;
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

/* Fills the claim with the entry for the replies to the first packet of a flow. */
static __noinline int
prepare_reply(const struct packet *packet, const struct tuple *to, const struct service *service, __u32 flags)
{
	struct claim *claim = current_claim();
	if (!claim) return 0;
	__builtin_memset(claim, 0, sizeof(*claim));
	claim->reply = reversed(to);
	claim->flow.translated = reversed(&packet->tuple);
	claim->flow.born = packet->arrival;
	claim->flow.seen = claim->flow.born;
	claim->flow.service = service->id;
	claim->flow.generation = service->generation;
	claim->flow.flags = flags | FLOW_REPLY;
	/* The client's first number, and what the client says about the endpoint's. */
	claim->flow.acked = packet->sequence;
	claim->flow.end = packet->tcp_flags & TCP_ACK ? packet->acknowledgement : 0;
	if (is_fin(packet)) claim->flow.state = FLOW_CLIENT_FINISHED;
	claim->is_syn = begins_connection(packet);
	claim->is_masqueraded = !same_address(&packet->tuple.source, &to->source);
	claim->victim_cost = NO_VICTIM;
	return 1;
}

/* Inserts the entry for the client's packets, after the one in the claim. Another CPU may have done so just before. */
static __noinline int insert_forward(const struct packet *packet, const struct tuple *to, __u32 device)
{
	struct claim *claim = current_claim();
	if (!claim) return 0;
	claim->reply = packet->tuple;
	claim->flow.translated = *to;
	claim->flow.flags &= ~FLOW_REPLY;
	claim->flow.acked = claim->flow.end;
	claim->flow.end = packet->sequence_end;
	/* Its source was checked, or the flow passes the stack. */
	claim->flow.device = device;
	if (claim->flow.state & FLOW_ASSURED) return insert_claim() || assured_entry(&claim->reply);
	claim->flow.check = check_of_flow(&claim->reply, &claim->flow);
	if (bpf_map_update_elem(&conntrack_new, &claim->reply, &claim->flow, BPF_ANY) == 0) return 1;
	claim->reply = reversed(to);
	bpf_map_delete_elem(&conntrack_new, &claim->reply);
	return 0;
}

/*
 * Creates the entries of a flow, and sets the source port of `to`. Returns 0, or the enum drop_reason of a
 * failure.
 */
static __noinline int create_flow(struct __sk_buff *skb, const struct packet *packet, struct tuple *to,
				  const struct service *service, __u32 flags)
{
	struct claim *claim = current_claim();
	if (!claim || !prepare_reply(packet, to, service, flags)) return DROP_NO_PORT;
	if (!claim_reply_tuple(skb)) return DROP_NO_PORT;
	to->source_port = claim->reply.destination_port;
	if (!insert_forward(packet, to, skb->ifindex)) return DROP_MAP_FULL;
	count_flow_event(FLOW_EVENT_CREATED);
	return 0;
}
