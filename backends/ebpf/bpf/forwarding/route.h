/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Routing of translated packets. They bypass netfilter and go directly to the neighbour of their route, or the stack
 * forwards them: if that was chosen (--ebpf-forward), and where the direct way is not certain.
 */
#pragma once

#include <linux/pkt_cls.h>
#include "../errors/reject.h"
#include "stack.h"

enum next_hop {
	/* A neighbour, through a device. */
	NEXT_HOP_NEIGHBOUR,
	/* The stack: the packet is for this node. */
	NEXT_HOP_STACK,
	/* The stack, which forwards, fragments or rejects the packet. */
	NEXT_HOP_FORWARD,
	NEXT_HOP_TOO_BIG,
	NEXT_HOP_NONE,
};

/*
 * Bits of skb->tc_index, which nothing in Linux uses since 6.3, and of which other programs use low bits. Ingress clears
 * them in packets that arrive, because another network namespace of the same machine may have set them.
 */
enum tc_index {
	/* Ingress sends the packet to its neighbour, so egress has nothing to do with it on any device by which it leaves. */
	TC_INDEX_TRANSLATED = 1 << 14,
	/* Ingress has translated the packet for the stack, and passes it on when it arrives once more. */
	TC_INDEX_AGAIN = 1 << 13,
};

/* A packet with this TTL or less must not be forwarded. */
#define LAST_HOP_TTL 1

/* The length that is compared with the MTU of a path. */
static __always_inline __u32 mtu_length(struct __sk_buff *skb, const struct packet *packet)
{
	if (skb->gso_size == 0) return packet->end - packet->network;
	return packet->transport + packet->transport_length - packet->network + skb->gso_size;
}

/* Looks up the route of a packet with tuple `to` that arrived on the same device as this one. */
static __noinline enum next_hop find_route(struct __sk_buff *skb, const struct packet *packet, const struct tuple *to,
					   struct bpf_fib_lookup *route)
{
	__builtin_memset(route, 0, sizeof(*route));
	route->family = packet->family;
	route->l4_protocol = to->protocol;
	route->sport = to->source_port;
	route->dport = to->destination_port;
	route->tot_len = mtu_length(skb, packet);
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
		return NEXT_HOP_NEIGHBOUR;
	case BPF_FIB_LKUP_RET_NOT_FWDED:
		return NEXT_HOP_STACK;
	case BPF_FIB_LKUP_RET_FRAG_NEEDED:
		return packet->may_be_fragmented ? NEXT_HOP_FORWARD : NEXT_HOP_TOO_BIG;
	/* A route that encapsulates. */
	case BPF_FIB_LKUP_RET_UNSUPP_LWT:
	case BPF_FIB_LKUP_RET_BLACKHOLE:
	case BPF_FIB_LKUP_RET_UNREACHABLE:
	case BPF_FIB_LKUP_RET_PROHIBIT:
		return NEXT_HOP_FORWARD;
	default:
		return NEXT_HOP_NONE;
	}
}

/* Returns the flags of a device: enum device_flag. */
static __always_inline __u32 device_flags(__u32 index)
{
	struct device *device = bpf_map_lookup_elem(&devices, &index);
	return device ? device->flags : 0;
}

/*
 * Reports whether the kernel checks whether the source of a packet is reached by the device on which it arrived, and
 * that device is not the one of the route back. The stack decides then, because it knows more: there may be several
 * routes, or the check may be loose.
 */
VERIFIED_ONCE int is_source_uncertain(struct __sk_buff *skb)
{
	struct workspace *work = current_workspace();
	if (!work) return 0;
	__u32 index = skb->ifindex;
	if (work->packet.family != AF_INET || !(device_flags(index) & DEVICE_REVERSE_PATH)) return 0;
	struct bpf_fib_lookup *route = &work->route_back;
	__builtin_memset(route, 0, sizeof(*route));
	route->family = AF_INET;
	route->ifindex = index;
	route->ipv4_src = work->packet.tuple.destination.word[3];
	route->ipv4_dst = work->packet.tuple.source.word[3];
	/* Fits every MTU, which does not matter here. */
	route->tot_len = sizeof(struct iphdr);
	long result = bpf_fib_lookup(skb, route, sizeof(*route), 0);
	if (result != BPF_FIB_LKUP_RET_SUCCESS && result != BPF_FIB_LKUP_RET_NO_NEIGH) return 1;
	return route->ifindex != index;
}

/* Reports whether the lookup of a route has found the link-layer address of the neighbour. */
static __always_inline int is_resolved(const struct bpf_fib_lookup *route)
{
	const __u8 *address = route->dmac;
	return address[0] | address[1] | address[2] | address[3] | address[4] | address[5];
}

/* Puts a packet on the other side of the veth pair, without a turn through the queue of this side. */
static __always_inline int send_to_peer(struct __sk_buff *skb, const struct bpf_fib_lookup *route)
{
	/* They succeed, because the program has written to the headers behind. */
	bpf_skb_store_bytes(skb, offsetof(struct ethhdr, h_dest), route->dmac, ETH_ALEN, 0);
	bpf_skb_store_bytes(skb, offsetof(struct ethhdr, h_source), route->smac, ETH_ALEN, 0);
	return bpf_redirect_peer(route->ifindex, 0);
}

static __always_inline int send_to_neighbour(struct __sk_buff *skb, const struct packet *packet,
					     const struct bpf_fib_lookup *route, int is_to_endpoint)
{
	__u32 flags = device_flags(route->ifindex);
	/* The priority in a VLAN tag applies only to the device on which it arrived. */
	if (skb->vlan_present) bpf_skb_vlan_pop(skb);
	int may_skip = is_to_endpoint && flags & DEVICE_HAS_PEER && packet->network;
	if (may_skip && is_resolved(route)) return send_to_peer(skb, route);
	skb->tc_index |= TC_INDEX_TRANSLATED;
	struct bpf_redir_neigh neighbour = { .nh_family = route->family };
	__builtin_memcpy(neighbour.ipv6_nh, route->ipv6_dst, sizeof(neighbour.ipv6_nh));
	/* The kernel removes a link-layer header whether or not there is one. */
	if (packet->network == 0 && bpf_skb_change_head(skb, ETH_HLEN, 0) != 0) return TC_ACT_SHOT;
	/* Without a neighbour, the kernel looks the route up again, and attaches it to the packet. */
	if (flags & DEVICE_NEEDS_ROUTE) return bpf_redirect_neigh(route->ifindex, NULL, 0, 0);
	return bpf_redirect_neigh(route->ifindex, &neighbour, sizeof(neighbour), 0);
}

static __always_inline int drop(enum drop_reason reason)
{
	count_drop(reason);
	return TC_ACT_SHOT;
}

/*
 * Passes a translated packet to the stack. From a bridge it arrives there once more: br_netfilter has had netfilter track
 * it as it was, which the kernel does not repeat for the translated packet, unless it is a new one for the device.
 */
VERIFIED_ONCE int pass_to_stack(struct __sk_buff *skb)
{
	__u32 index = skb->ifindex;
	struct device *device = bpf_map_lookup_elem(&devices, &index);
	if (!device || device->bridge != index) return PASS_ON;
	skb->tc_index |= TC_INDEX_AGAIN;
	return bpf_redirect(index, BPF_F_INGRESS);
}

/* Passes a packet to the stack, which forwards it, and counts its hop. */
VERIFIED_ONCE int send_through_stack(struct __sk_buff *skb)
{
	struct workspace *work = current_workspace();
	if (!work) return TC_ACT_SHOT;
	struct packet *packet = &work->packet;
	struct passage *passage = &work->passage;
	passage->arrived = packet->tuple;
	prepare_passage();
	if (translate(skb, packet, &passage->inner, packet->time_to_live) != 0) return drop(DROP_MALFORMED);
	return same_tuple(&passage->inner, &passage->arrived) ? PASS_ON : pass_to_stack(skb);
}

/*
 * Translates a packet to `work->to` and sends it to its next hop, or rejects or drops it if it has none. Replies never
 * skip a side of a veth pair, because they may leave the node by it, where captures are expected to see them.
 */
static __always_inline int
send(struct __sk_buff *skb, struct workspace *work, enum next_hop next_hop, int is_to_endpoint)
{
	const struct packet *packet = &work->packet;
	const struct bpf_fib_lookup *route = &work->route;
	if (next_hop == NEXT_HOP_TOO_BIG) return reject_too_big(skb, packet, route->mtu_result);
	if (next_hop == NEXT_HOP_NONE) return drop(DROP_NO_ROUTE);
	if (next_hop == NEXT_HOP_FORWARD) return send_through_stack(skb);
	int is_forwarded = next_hop == NEXT_HOP_NEIGHBOUR;
	if (is_forwarded && packet->time_to_live <= LAST_HOP_TTL) return reject_hop_limit(skb, packet);
	if (translate(skb, packet, &work->to, packet->time_to_live - is_forwarded) != 0) return drop(DROP_MALFORMED);
	return is_forwarded ? send_to_neighbour(skb, packet, route, is_to_endpoint) : PASS_ON;
}
