/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Flows that netfilter translates, because they began in another mode. Their packets are left to it, and no new
 * flow gets a tuple of theirs. SETTING_FORMER_FLOWS tells whether there are any.
 */
#pragma once

#include "packet.h"

#ifdef LOOKS_UP_NETFILTER

#define IPS_DST_NAT (1 << 5) /* linux/netfilter/nf_conntrack_common.h */

/* net/netfilter/nf_conntrack_bpf.c. Kernels from 6.10 on accept more members behind these. */
struct bpf_ct_opts {
	__s32 netns_id;
	__s32 error;
	__u8 l4proto;
	__u8 dir;
	__u8 reserved[2];
};

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct nf_conn {
	unsigned long status;
};
#pragma clang attribute pop

/* Since Linux 5.18; in the module nf_conntrack if it is one. */
extern struct nf_conn *bpf_skb_ct_lookup(struct __sk_buff *skb, struct bpf_sock_tuple *tuple, __u32 tuple__sz,
					 struct bpf_ct_opts *opts, __u32 opts__sz) __ksym;
extern void bpf_ct_release(struct nf_conn *entry) __ksym;

static __always_inline int
has_translation(struct __sk_buff *skb, struct bpf_sock_tuple *tuple, __u32 size, __u8 protocol)
{
	struct bpf_ct_opts opts = { .netns_id = BPF_F_CURRENT_NETNS, .l4proto = protocol };
	struct nf_conn *entry = bpf_skb_ct_lookup(skb, tuple, size, &opts, sizeof(opts));
	if (!entry) return 0;
	int result = !!(entry->status & IPS_DST_NAT);
	bpf_ct_release(entry);
	return result;
}

/* Reports whether netfilter translates packets with this tuple, in either direction of their flow. */
VERIFIED_ONCE int netfilter_translates(struct __sk_buff *skb, const struct tuple *tuple)
{
	struct settings *settings = settings_of_node();
	if (!settings || !tuple || !(settings->flags & SETTING_FORMER_FLOWS)) return 0;
	if (tuple->protocol != IPPROTO_TCP && tuple->protocol != IPPROTO_UDP) return 0;
	struct bpf_sock_tuple key = {};
	if (is_ipv4_address(&tuple->source)) {
		key.ipv4.saddr = tuple->source.word[3];
		key.ipv4.daddr = tuple->destination.word[3];
		key.ipv4.sport = tuple->source_port;
		key.ipv4.dport = tuple->destination_port;
		return has_translation(skb, &key, sizeof(key.ipv4), tuple->protocol);
	}
	__builtin_memcpy(key.ipv6.saddr, tuple->source.word, sizeof(key.ipv6.saddr));
	__builtin_memcpy(key.ipv6.daddr, tuple->destination.word, sizeof(key.ipv6.daddr));
	key.ipv6.sport = tuple->source_port;
	key.ipv6.dport = tuple->destination_port;
	return has_translation(skb, &key, sizeof(key.ipv6), tuple->protocol);
}

#else

static __always_inline int netfilter_translates(struct __sk_buff *skb, const struct tuple *tuple)
{
	(void)skb;
	(void)tuple;
	return 0;
}

#endif

/* Reports whether a packet belongs to a flow of netfilter. One that opens a TCP connection does not. */
static __always_inline int belongs_to_netfilter(struct __sk_buff *skb, const struct packet *packet)
{
	if ((packet->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN) return 0;
	return netfilter_translates(skb, &packet->tuple);
}
