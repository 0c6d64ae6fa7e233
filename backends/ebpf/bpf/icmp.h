/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * ICMP errors about translated packets: what they quote is put back to what its sender sent, or the sender would take
 * the error for somebody else's.
 */
#pragma once

#include "conntrack.h"
#include "nat.h"

/* What an error is about. */
struct quotation {
	struct packet packet;
	struct tuple sent; /* as its sender sent it */
	struct tuple way;  /* which the error takes to that sender */
};

/* Like netfilter: a source that the flow hides is hidden here too. */
static __always_inline struct tuple
way_of_error(const struct packet *error, const struct packet *quoted, const struct flow *flow)
{
	struct tuple way = {
		.source = error->tuple.source,
		.destination = flow->translated.destination,
		.protocol = error->tuple.protocol,
	};
	if (!same_address(&quoted->tuple.destination, &flow->translated.source)) way.source = flow->translated.source;
	return way;
}

/* Reads what an error quotes. The flow it belongs to, in the direction that the error takes; NULL for none of ours. */
static __always_inline struct flow *
read_quotation(struct __sk_buff *skb, const struct packet *error, struct quotation *quotation)
{
	__builtin_memset(quotation, 0, sizeof(*quotation));
	quotation->packet.network = error->transport + error->transport_length;
	quotation->packet.is_quoted = 1;
	if (read_packet(skb, &quotation->packet) != PACKET_TRANSPORT) return NULL;
	struct tuple answer = reversed(&quotation->packet.tuple);
	struct flow *flow = flow_of(&answer);
	if (!flow) return NULL;
	quotation->sent = reversed(&flow->translated);
	quotation->way = way_of_error(error, &quotation->packet, flow);
	return flow;
}

/* The error's own checksum, at `check`, is over its quote, too: it follows what is put back there. */

/* Of IPv4 the sum stays the same by the header's checksum. */
static __always_inline int
restore_addresses(struct __sk_buff *skb, __u32 check, const struct packet *quoted, const struct tuple *to)
{
	if (quoted->family == AF_INET) return rewrite_ipv4(skb, quoted, to, quoted->time_to_live);
	if (bpf_l4_csum_replace(skb, check, 0, address_difference(&quoted->tuple, to), 0) != 0) return -1;
	return bpf_skb_store_bytes(skb, quoted->network + offsetof(struct ipv6hdr, saddr), &to->source,
				   2 * sizeof(struct address), 0);
}

static __always_inline int
restore_ports(struct __sk_buff *skb, __u32 check, const struct packet *quoted, const struct tuple *to)
{
	__u32 before = both_ports(&quoted->tuple), after = both_ports(to);
	if (bpf_l4_csum_replace(skb, check, before, after, sizeof(after)) != 0) return -1;
	return bpf_skb_store_bytes(skb, quoted->transport, &after, sizeof(after), 0);
}

/* Of TCP and UDP, unless the quote ends before it: RFC 5508 wants the headers in their original form (REQ-4, REQ-5). */
static __always_inline int
restore_checksum(struct __sk_buff *skb, __u32 check, const struct packet *quoted, const struct tuple *to)
{
	__u32 before = both_ports(&quoted->tuple), after = both_ports(to);
	__u32 quoted_check = quoted->transport + check_offset(to->protocol);
	__sum16 old = 0, new;
	if (to->protocol == IPPROTO_SCTP || !reads(skb, quoted, quoted_check, &old, sizeof(old))) return 0;
	if (to->protocol == IPPROTO_UDP && old == 0) return 0;
	__u32 sum = folded(address_difference(&quoted->tuple, to)) + (__u16)~old;
	new = ~folded(bpf_csum_diff(&before, sizeof(before), &after, sizeof(after), sum));
	/* 0 is no checksum. */
	if (to->protocol == IPPROTO_UDP && new == 0) new = 0xffff;
	if (bpf_l4_csum_replace(skb, check, old, new, sizeof(new)) != 0) return -1;
	return bpf_skb_store_bytes(skb, quoted_check, &new, sizeof(new), 0);
}

static __always_inline int
restore_quote(struct __sk_buff *skb, const struct packet *error, const struct quotation *quotation)
{
	const struct packet *quoted = &quotation->packet;
	const struct tuple *to = &quotation->sent;
	__u32 check = error->transport + offsetof(struct icmp_header, check);
	if (restore_checksum(skb, check, quoted, to) != 0) return -1;
	if (restore_ports(skb, check, quoted, to) != 0) return -1;
	return restore_addresses(skb, check, quoted, to);
}

/* 0 when it is done; otherwise the packet is spoilt. */
static __noinline int translate_error(struct __sk_buff *skb, const struct packet *error,
				      const struct quotation *quotation, __u8 time_to_live)
{
	if (restore_quote(skb, error, quotation) != 0) return -1;
	/* ICMP has no pseudo header, ICMPv6 has. */
	if (error->family == AF_INET6 &&
	    bpf_l4_csum_replace(skb, error->transport + offsetof(struct icmp_header, check), 0,
				address_difference(&error->tuple, &quotation->way), BPF_F_PSEUDO_HDR) != 0)
		return -1;
	return rewrite_network(skb, error, &quotation->way, time_to_live);
}
