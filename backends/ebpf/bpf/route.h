/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Where translated packets go: past netfilter, straight to the neighbour the routes name. */
#pragma once

#include <linux/pkt_cls.h>
#include "nat.h"
#include "refusal.h"

enum reach {
	/* By a device, to a neighbour. */
	REACH_NEIGHBOUR,
	/* The stack knows: it is for this node. */
	REACH_STACK,
	REACH_TOO_BIG,
	REACH_NOWHERE,
};

/* From here on TTLs would reach 0. */
#define LAST_HOP 1

/* What is compared with a path's MTU. */
static __always_inline __u32 longest_packet(struct __sk_buff *skb, const struct packet *packet)
{
	if (skb->gso_size == 0) return packet->end - packet->network;
	return packet->transport + packet->transport_length - packet->network + skb->gso_size;
}

/* Asks the routes, as for a packet from `source` that came in where this one did. */
static __noinline enum reach find_route(struct __sk_buff *skb, const struct packet *packet, const struct tuple *to,
					struct bpf_fib_lookup *route)
{
	__builtin_memset(route, 0, sizeof(*route));
	route->family = packet->family;
	route->l4_protocol = to->protocol;
	route->sport = to->source_port;
	route->dport = to->destination_port;
	route->tot_len = longest_packet(skb, packet);
	route->ifindex = skb->ifindex;
	if (packet->family == AF_INET) {
		route->tos = packet->type_of_service;
		route->ipv4_src = to->source.word[3];
		route->ipv4_dst = to->destination.word[3];
	} else {
		__builtin_memcpy(route->ipv6_src, &to->source, sizeof(to->source));
		__builtin_memcpy(route->ipv6_dst, &to->destination, sizeof(to->destination));
	}
	switch (bpf_fib_lookup(skb, route, sizeof(*route), 0)) {
	case BPF_FIB_LKUP_RET_SUCCESS:
	case BPF_FIB_LKUP_RET_NO_NEIGH:
		return REACH_NEIGHBOUR;
	case BPF_FIB_LKUP_RET_NOT_FWDED:
		return REACH_STACK;
	case BPF_FIB_LKUP_RET_FRAG_NEEDED:
		return REACH_TOO_BIG;
	default:
		return REACH_NOWHERE;
	}
}

static __always_inline int send_to_neighbour(struct __sk_buff *skb, const struct packet *packet,
					     const struct bpf_fib_lookup *route)
{
	struct bpf_redir_neigh neighbour = { .nh_family = route->family };
	__builtin_memcpy(neighbour.ipv6_nh, route->ipv6_dst, sizeof(neighbour.ipv6_nh));
	/* The priority of a VLAN's tag is for the device it came by. */
	if (skb->vlan_present) bpf_skb_vlan_pop(skb);
	/* The kernel takes the link's header off, where there is one or not. */
	if (packet->network == 0 && bpf_skb_change_head(skb, ETH_HLEN, 0) != 0) return TC_ACT_SHOT;
	return bpf_redirect_neigh(route->ifindex, &neighbour, sizeof(neighbour), 0);
}

static __always_inline int drop(enum drop_reason reason)
{
	count_drop(reason);
	return TC_ACT_SHOT;
}

/* Translates a packet and sends it on its way, as far as `reach` and `route` know it. */
static __always_inline int send(struct __sk_buff *skb, struct packet *packet, const struct tuple *to, enum reach reach,
			   const struct bpf_fib_lookup *route)
{
	if (reach == REACH_TOO_BIG) return refuse_as_too_big(skb, packet, route->mtu_result);
	if (reach == REACH_NOWHERE) return drop(DROP_NO_ROUTE);
	int is_sent_on = reach == REACH_NEIGHBOUR;
	if (is_sent_on && packet->time_to_live <= LAST_HOP) return refuse_as_too_far(skb, packet);
	if (translate(skb, packet, to, packet->time_to_live - is_sent_on) != 0) return drop(DROP_MALFORMED);
	return is_sent_on ? send_to_neighbour(skb, packet, route) : PASS_ON;
}
