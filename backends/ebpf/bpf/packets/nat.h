/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Rewriting of addresses and ports. Checksums stay correct in every state: complete, to be finished by a
 * device (CHECKSUM_PARTIAL), or given as the device's sum over the whole packet (CHECKSUM_COMPLETE).
 */
#pragma once

#include <stddef.h>
#include "packet.h"

/* The rewritten part of struct iphdr, from `ttl` on. */
struct ipv4_rewritten {
	__u8 ttl;
	__u8 protocol;
	__sum16 check;
	__be32 source;
	__be32 destination;
};

/* The rewritten part of struct ipv6hdr, from `hop_limit` on. */
struct ipv6_rewritten {
	__u8 hop_limit;
	struct address source;
	struct address destination;
} __attribute__((packed));

/* Sums are those of the internet checksum (RFC 1071), in words of 32 bits. The helpers for them cost a call each. */
static __always_inline __u32 folded_to_32(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	return (sum & 0xffffffff) + (sum >> 32);
}

static __always_inline __sum16 folded(__u64 sum)
{
	__u32 short_sum = folded_to_32(sum);
	short_sum = (short_sum & 0xffff) + (short_sum >> 16);
	short_sum = (short_sum & 0xffff) + (short_sum >> 16);
	return short_sum;
}

/* The change of a sum in which one word replaces another. */
static __always_inline __u64 difference(__u32 from, __u32 to)
{
	return (__u64)(__u32)~from + to;
}

/* The change of the sum over the addresses. */
static __always_inline __u32 address_difference(const struct tuple *from, const struct tuple *to)
{
	__u64 sum = 0;
	/* The common prefix of mapped IPv4 addresses cancels out. */
	int first = is_ipv4_address(&to->source) ? 3 : 0;
	for (int word = first; word < 4; word++) {
		sum += difference(from->source.word[word], to->source.word[word]);
		sum += difference(from->destination.word[word], to->destination.word[word]);
	}
	return folded_to_32(sum);
}

static __always_inline __u32 first_word(const struct ipv4_rewritten *header)
{
	__u32 word;
	__builtin_memcpy(&word, header, sizeof(word));
	return word;
}

static __always_inline int
rewrite_ipv4(struct __sk_buff *skb, const struct packet *packet, const struct tuple *to, __u8 time_to_live)
{
	struct ipv4_rewritten before = {
		.ttl = packet->time_to_live,
		.protocol = to->protocol,
		.source = packet->tuple.source.word[3],
		.destination = packet->tuple.destination.word[3],
	};
	struct ipv4_rewritten after = {
		.ttl = time_to_live,
		.protocol = to->protocol,
		.source = to->source.word[3],
		.destination = to->destination.word[3],
	};
	__u64 sum = (__u16)~packet->header_check;
	sum += difference(first_word(&before), first_word(&after));
	sum += difference(before.source, after.source) + difference(before.destination, after.destination);
	after.check = ~folded(sum);
	/*
	 * The sum over the header does not change, and therefore neither does the sum over the whole packet.
	 */
	return bpf_skb_store_bytes(skb, packet->network + offsetof(struct iphdr, ttl), &after, sizeof(after), 0);
}

static __always_inline int
rewrite_ipv6(struct __sk_buff *skb, const struct packet *packet, const struct tuple *to, __u8 hop_limit)
{
	struct ipv6_rewritten after = {
		.hop_limit = hop_limit,
		.source = to->source,
		.destination = to->destination,
	};
	/* IPv6 has no header checksum that would compensate for the new addresses. */
	return bpf_skb_store_bytes(skb, packet->network + offsetof(struct ipv6hdr, hop_limit), &after, sizeof(after),
				   BPF_F_RECOMPUTE_CSUM);
}

static __always_inline int
rewrite_network(struct __sk_buff *skb, const struct packet *packet, const struct tuple *to, __u8 time_to_live)
{
	if (packet->family == AF_INET) return rewrite_ipv4(skb, packet, to, time_to_live);
	return rewrite_ipv6(skb, packet, to, time_to_live);
}

/* The ports as they are at the start of a transport header. */
static __always_inline __u32 both_ports(const struct tuple *tuple)
{
	const __be16 ports[] = { tuple->source_port, tuple->destination_port };
	__u32 both;
	__builtin_memcpy(&both, ports, sizeof(both));
	return both;
}

/* Offset of the checksum in a TCP or UDP header. The checksum covers addresses and ports too. */
static __always_inline __u32 check_offset(__u8 protocol)
{
	return protocol == IPPROTO_TCP ? offsetof(struct tcphdr, check) : offsetof(struct udphdr, check);
}

static __always_inline int
rewrite_transport(struct __sk_buff *skb, const struct packet *packet, const struct tuple *to)
{
	__u32 before = both_ports(&packet->tuple), after = both_ports(to);
	__u32 check = packet->transport + check_offset(to->protocol);
	/* The checksum of SCTP does not cover addresses. Ports do not change: see changes_sctp_port() and claim.h. */
	if (to->protocol == IPPROTO_SCTP) return 0;
	/* 0 means that there is no checksum. */
	__u64 flags = to->protocol == IPPROTO_UDP ? BPF_F_MARK_MANGLED_0 : 0;
	if (bpf_l4_csum_replace(skb, check, 0, address_difference(&packet->tuple, to), flags | BPF_F_PSEUDO_HDR) != 0)
		return -1;
	if (before == after) return 0;
	if (bpf_l4_csum_replace(skb, check, before, after, flags | sizeof(after)) != 0) return -1;
	return bpf_skb_store_bytes(skb, packet->transport, &after, sizeof(after), 0);
}

/* Translates a packet. Returns 0; on a failure the packet is corrupt. */
static __always_inline int
translate(struct __sk_buff *skb, const struct packet *packet, const struct tuple *to, __u8 time_to_live)
{
	if (rewrite_network(skb, packet, to, time_to_live) != 0) return -1;
	/* A later fragment has no transport header: only its addresses are rewritten. */
	return packet->transport_length == 0 ? 0 : rewrite_transport(skb, packet, to);
}
