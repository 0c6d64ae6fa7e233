/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * ICMP errors about translated packets. The quoted packet is restored to what its sender sent, because the
 * sender would otherwise not recognise it.
 */
#pragma once

#include "../flows/flow_table.h"
#include "../packets/nat.h"

/* The packet that an ICMP error quotes. */
struct quotation {
	struct packet packet;
	struct tuple original; /* as its sender sent it */
	struct tuple outer;    /* addresses of the error itself on its way to that sender */
};

/* The translated addresses of an error. As in netfilter, a source that the flow hides is hidden here too. */
static __always_inline struct tuple
outer_tuple(const struct packet *error, const struct packet *quoted, const struct flow *flow)
{
	struct tuple outer = {
		.source = error->tuple.source,
		.destination = flow->translated.destination,
		.protocol = error->tuple.protocol,
	};
	if (!same_address(&quoted->tuple.destination, &flow->translated.source)) outer.source = flow->translated.source;
	return outer;
}

/* Reads the packet that an error quotes. Returns 0 if it is none that services use. */
static __always_inline int
read_quotation(struct __sk_buff *skb, const struct packet *error, struct quotation *quotation)
{
	__builtin_memset(quotation, 0, sizeof(*quotation));
	quotation->packet.network = error->transport + error->transport_length;
	quotation->packet.is_quoted = 1;
	return read_packet(skb, &quotation->packet) == PACKET_TRANSPORT;
}

/* Sets what an error becomes. `flow` is the entry of its flow in the direction of the error. */
static __always_inline void
set_original(struct quotation *quotation, const struct packet *error, const struct flow *flow)
{
	quotation->original = reversed(&flow->translated);
	quotation->outer = outer_tuple(error, &quotation->packet, flow);
}

/* The error's own checksum, at `check`, covers the quote too, so it is updated with each restored field. */

/*
 * Restores the quoted addresses. In IPv4 the sum over the header does not change, because its checksum is
 * updated.
 */
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

/*
 * Restores the quoted checksum of TCP and UDP, unless the quote ends before it. RFC 5508 requires the headers
 * in their original form (REQ-4, REQ-5).
 */
static __always_inline int
restore_checksum(struct __sk_buff *skb, __u32 check, const struct packet *quoted, const struct tuple *to)
{
	__u32 before = both_ports(&quoted->tuple), after = both_ports(to);
	__u32 quoted_check = quoted->transport + check_offset(to->protocol);
	__sum16 old = 0, new;
	if (to->protocol == IPPROTO_SCTP || !read_header(skb, quoted, quoted_check, &old, sizeof(old))) return 0;
	if (to->protocol == IPPROTO_UDP && old == 0) return 0;
	__u32 sum = folded(address_difference(&quoted->tuple, to)) + (__u16)~old;
	new = ~folded(bpf_csum_diff(&before, sizeof(before), &after, sizeof(after), sum));
	/* 0 means that there is no checksum. */
	if (to->protocol == IPPROTO_UDP && new == 0) new = 0xffff;
	if (bpf_l4_csum_replace(skb, check, old, new, sizeof(new)) != 0) return -1;
	return bpf_skb_store_bytes(skb, quoted_check, &new, sizeof(new), 0);
}

static __always_inline int
restore_quote(struct __sk_buff *skb, const struct packet *error, const struct quotation *quotation)
{
	const struct packet *quoted = &quotation->packet;
	const struct tuple *to = &quotation->original;
	__u32 check = error->transport + offsetof(struct icmp_header, check);
	if (restore_checksum(skb, check, quoted, to) != 0) return -1;
	if (restore_ports(skb, check, quoted, to) != 0) return -1;
	return restore_addresses(skb, check, quoted, to);
}

/* Translates an error and the packet that it quotes. Returns 0; on a failure the packet is corrupt. */
static __noinline int translate_error(struct __sk_buff *skb, const struct packet *error,
				      const struct quotation *quotation, __u8 time_to_live)
{
	if (restore_quote(skb, error, quotation) != 0) return -1;
	/* The checksum of ICMPv6 covers a pseudo header; that of ICMP does not. */
	if (error->family == AF_INET6 &&
	    bpf_l4_csum_replace(skb, error->transport + offsetof(struct icmp_header, check), 0,
				address_difference(&error->tuple, &quotation->outer), BPF_F_PSEUDO_HDR) != 0)
		return -1;
	return rewrite_network(skb, error, &quotation->outer, time_to_live);
}
