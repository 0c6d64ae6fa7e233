/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Flows in netfilter's conntrack: those that began in another mode, those of masqueraded pods, and the node's own.
 * Their packets are left to it, and no new flow gets a tuple of theirs.
 */
#pragma once

#include "node_sockets.h"

/* Knowledge of netfilter about a tuple. */
enum netfilter_knowledge {
	/* It belongs to one of its flows. */
	NETFILTER_FLOW = 1,
	/* It is the tuple of the replies. */
	NETFILTER_REPLY = 2,
	/* The flow's destination is translated. */
	NETFILTER_DST_NAT = 4,
};

#ifdef LOOKS_UP_NETFILTER

#define IP_CT_DIR_REPLY 1    /* linux/netfilter/nf_conntrack_tuple_common.h */
#define IPS_DST_NAT (1 << 5) /* linux/netfilter/nf_conntrack_common.h */

/* net/netfilter/nf_conntrack_bpf.c. Kernels from 6.10 on accept more members behind these. */
struct bpf_ct_opts {
	__s32 netns_id;
	__s32 error;
	__u8 l4proto;
	__u8 dir; /* set by the lookup: IP_CT_DIR_* */
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
look_up_netfilter(struct __sk_buff *skb, struct bpf_sock_tuple *tuple, __u32 size, __u8 protocol)
{
	struct bpf_ct_opts opts = { .netns_id = BPF_F_CURRENT_NETNS, .l4proto = protocol };
	struct nf_conn *entry = bpf_skb_ct_lookup(skb, tuple, size, &opts, sizeof(opts));
	if (!entry) return 0;
	int knowledge = NETFILTER_FLOW;
	if (opts.dir == IP_CT_DIR_REPLY) knowledge |= NETFILTER_REPLY;
	if (entry->status & IPS_DST_NAT) knowledge |= NETFILTER_DST_NAT;
	bpf_ct_release(entry);
	return knowledge;
}

/* Returns enum netfilter_knowledge of a tuple. The kernel function knows TCP and UDP only. */
VERIFIED_ONCE int netfilter_knowledge(struct __sk_buff *skb, const struct tuple *tuple)
{
	if (!tuple || (tuple->protocol != IPPROTO_TCP && tuple->protocol != IPPROTO_UDP)) return 0;
	struct bpf_sock_tuple key;
	__u32 size = write_socket_tuple(&key, tuple);
	if (size == sizeof(key.ipv4)) return look_up_netfilter(skb, &key, sizeof(key.ipv4), tuple->protocol);
	return look_up_netfilter(skb, &key, sizeof(key.ipv6), tuple->protocol);
}

#else

static __always_inline int netfilter_knowledge(struct __sk_buff *skb, const struct tuple *tuple)
{
	(void)skb;
	(void)tuple;
	return 0;
}

#endif
