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
/* linux/netfilter/nf_conntrack_common.h */
#define IPS_SRC_NAT (1 << 4)
#define IPS_DST_NAT (1 << 5)
#define NFCT_PTRMASK (~7UL) /* linux/skbuff.h */

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

struct sk_buff {
	unsigned long _nfct;
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

/*
 * Reports whether netfilter has translated a packet before the programs see it: br_netfilter does so with packets from a
 * bridge. Replies to a masqueraded connection then have the address of the client, and the source is still the endpoint's:
 * a tuple that no entry of netfilter has, and that a flow here may have.
 */
static __always_inline int is_translated_by_netfilter(struct __sk_buff *skb)
{
	unsigned long entry = 0, status = 0;
	bpf_probe_read_kernel(&entry, sizeof(entry), &((const struct sk_buff *)(void *)skb)->_nfct);
	entry &= NFCT_PTRMASK;
	if (!entry) return 0;
	bpf_probe_read_kernel(&status, sizeof(status), &((const struct nf_conn *)entry)->status);
	return !!(status & (IPS_SRC_NAT | IPS_DST_NAT));
}

static __always_inline int avoids_ports_of_clients(const struct settings *settings)
{
	(void)settings;
	return 0;
}

#else

/*
 * Reports whether new flows get another port than the client's, because packets of older flows that netfilter has
 * translated cannot be told from theirs: see above.
 */
static __always_inline int avoids_ports_of_clients(const struct settings *settings)
{
	return !!(settings->flags & SETTING_FORMER_FLOWS);
}

static __always_inline int is_translated_by_netfilter(struct __sk_buff *skb)
{
	(void)skb;
	return 0;
}

static __always_inline int netfilter_knowledge(struct __sk_buff *skb, const struct tuple *tuple)
{
	(void)skb;
	(void)tuple;
	return 0;
}

#endif
