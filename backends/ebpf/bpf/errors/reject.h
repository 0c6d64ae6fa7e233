/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Rejections of packets: TCP resets and ICMP errors, built in the buffer of the rejected packet. Their source
 * is the packet's destination. They leave by the device on which the packet arrived, to the neighbour that
 * sent it.
 */
#pragma once

#include <linux/pkt_cls.h>
#include "../packets/nat.h"
#include "icmp_limit.h"

/* To the next program, and then to the stack. TC_ACT_OK would hide the packet from foreign programs. */
#define PASS_ON TC_ACT_UNSPEC

/* The content of an ICMP or ICMPv6 error. */
struct icmp_error {
	__u8 type;
	__u8 code;
	__u16 mtu;
};

#define REPLY_TIME_TO_LIVE 64
#define IPV4_VERSION_AND_LENGTH (4 << 4 | sizeof(struct iphdr) / HEADER_UNIT)
#define IPV6_VERSION (6 << 4)

/*
 * Bytes that an ICMP error quotes at most: the headers. RFC 792 requires only eight bytes of the transport
 * header.
 */
#define MAX_QUOTE 96

/* Adds the sum over the pseudo header of a transport checksum to `sum`. */
static __always_inline __u32 pseudo_header_sum(const struct packet *packet, __u8 protocol, __u32 length, __u32 sum)
{
	const struct tuple *tuple = &packet->tuple;
	__be32 rest[2] = { bpf_htonl(length), bpf_htonl(protocol) };
	/* The prefix of mapped IPv4 addresses must not be included. */
	__u32 skipped = packet->family == AF_INET ? 3 * sizeof(__be32) : 0;
	if (skipped) {
		__be32 addresses[2] = { tuple->source.word[3], tuple->destination.word[3] };
		sum = bpf_csum_diff(NULL, 0, addresses, sizeof(addresses), sum);
	} else {
		sum = bpf_csum_diff(NULL, 0, (__be32 *)&tuple->source, 2 * sizeof(struct address), sum);
	}
	return bpf_csum_diff(NULL, 0, rest, sizeof(rest), sum);
}

/*
 * Reports whether the checksum is still to be finished by the sending device (CHECKSUM_PARTIAL), so that it
 * covers only the pseudo header. No field tells this, but in this state the kernel does not update it when
 * other bytes change.
 */
static __always_inline int is_checksum_partial(struct __sk_buff *skb, __u32 check)
{
	__sum16 before = 0, after = 0;
	const __be16 something = bpf_htons(1);
	bpf_skb_load_bytes(skb, check, &before, sizeof(before));
	bpf_l4_csum_replace(skb, check, 0, something, sizeof(something));
	bpf_skb_load_bytes(skb, check, &after, sizeof(after));
	if (before == after) return 1;
	bpf_l4_csum_replace(skb, check, something, 0, sizeof(something));
	return 0;
}

/* Sends the packet back to the neighbour that sent it. */
static __always_inline int send_back(struct __sk_buff *skb, const struct packet *packet)
{
	struct ethhdr link;
	/* On l3 devices the packet begins with the IP header. */
	if (packet->network >= sizeof(link)) {
		__u8 neighbour[ETH_ALEN];
		if (bpf_skb_load_bytes(skb, 0, &link, sizeof(link)) != 0) return TC_ACT_SHOT;
		__builtin_memcpy(neighbour, link.h_source, ETH_ALEN);
		__builtin_memcpy(link.h_source, link.h_dest, ETH_ALEN);
		__builtin_memcpy(link.h_dest, neighbour, ETH_ALEN);
		bpf_skb_store_bytes(skb, 0, &link, sizeof(link), 0);
	}
	return bpf_redirect(skb->ifindex, 0);
}

/* ---- reset ---- */

/* Turns the IP header into that of the reply, which has `length` bytes without the link-layer header. */
static __always_inline int write_reply_header(struct __sk_buff *skb, const struct packet *packet, __u32 length)
{
	const struct tuple back = {
		.source = packet->tuple.destination,
		.destination = packet->tuple.source,
		.protocol = packet->tuple.protocol,
	};
	if (rewrite_network(skb, packet, &back, REPLY_TIME_TO_LIVE) != 0) return -1;
	if (packet->family == AF_INET6) {
		__be16 payload = bpf_htons(length - sizeof(struct ipv6hdr));
		return bpf_skb_store_bytes(skb, packet->network + offsetof(struct ipv6hdr, payload_len), &payload,
					   sizeof(payload), BPF_F_RECOMPUTE_CSUM);
	}
	__be16 before, total = bpf_htons(length);
	__u32 field = packet->network + offsetof(struct iphdr, tot_len);
	if (bpf_skb_load_bytes(skb, field, &before, sizeof(before)) != 0) return -1;
	bpf_l3_csum_replace(skb, packet->network + offsetof(struct iphdr, check), before, total, sizeof(total));
	return bpf_skb_store_bytes(skb, field, &total, sizeof(total), 0);
}

/* Builds the reset that answers a segment without a connection (RFC 9293, 3.10.7.1). */
static __always_inline struct tcphdr reset_for(const struct packet *packet, const struct tcphdr *segment)
{
	struct tcphdr reset = {
		.source = segment->dest,
		.dest = segment->source,
		.doff = sizeof(reset) / HEADER_UNIT,
		.rst = 1,
	};
	if (segment->ack) {
		reset.seq = segment->ack_seq;
	} else {
		__u32 payload = packet->end - packet->transport - packet->transport_length;
		reset.ack = 1;
		reset.ack_seq = bpf_htonl(bpf_ntohl(segment->seq) + payload + segment->syn + segment->fin);
	}
	return reset;
}

VERIFIED_ONCE int reject_with_reset(struct __sk_buff *skb, const struct packet *packet)
{
	if (!packet) return TC_ACT_SHOT;
	struct tcphdr segment;
	if (bpf_skb_load_bytes(skb, packet->transport, &segment, sizeof(segment)) != 0) return TC_ACT_SHOT;
	struct tcphdr reset = reset_for(packet, &segment);
	__u32 sum = pseudo_header_sum(packet, IPPROTO_TCP, sizeof(reset), 0);
	if (is_checksum_partial(skb, packet->transport + offsetof(struct tcphdr, check))) reset.check = folded(sum);
	else reset.check = ~folded(bpf_csum_diff(NULL, 0, (__be32 *)&reset, sizeof(reset), sum));

	__u32 end = packet->transport + sizeof(reset);
	if (bpf_skb_change_tail(skb, end, 0) != 0) return TC_ACT_SHOT;
	if (bpf_skb_store_bytes(skb, packet->transport, &reset, sizeof(reset), BPF_F_RECOMPUTE_CSUM) != 0)
		return TC_ACT_SHOT;
	if (write_reply_header(skb, packet, end - packet->network) != 0) return TC_ACT_SHOT;
	return send_back(skb, packet);
}

/* ---- ICMP errors ---- */

/*
 * Quoted bytes of the transport header. They include its checksum, which the kernel does not cut off while
 * partial.
 */
static __always_inline __u32 quoted_transport(__u8 protocol)
{
	return protocol == IPPROTO_TCP ? sizeof(struct tcphdr) : sizeof(struct udphdr);
}

/*
 * Returns the sum over the quoted headers as they will be sent. A partial checksum will have been finished by
 * then: the sum over everything that it covers will be the complement of its present value.
 */
static __always_inline __s64 sum_of_quote(struct __sk_buff *skb, const struct packet *packet, __u32 length, __u32 sum)
{
	__u8 quote[MAX_QUOTE] = {};
	__u32 check = packet->transport + check_offset(packet->tuple.protocol);
	if (packet->tuple.protocol != IPPROTO_SCTP && is_checksum_partial(skb, check)) {
		__u16 pseudo = 0;
		if (bpf_skb_load_bytes(skb, check, &pseudo, sizeof(pseudo)) != 0) return -1;
		sum += (__u16)~pseudo;
		length = packet->transport - packet->network;
	}
	/*
	 * For the verifier of Linux 6.1, which derives a minimum from "less than", but not from "is not 0".
	 */
	__u32 beyond_first = length - 1;
	asm volatile("" : "+r"(beyond_first));
	if (beyond_first >= sizeof(quote)) return -1;
	if (bpf_skb_load_bytes(skb, packet->network, quote, beyond_first + 1) != 0) return -1;
	return bpf_csum_diff(NULL, 0, (__be32 *)quote, sizeof(quote), sum);
}

/* The headers in front of the quote. */
struct icmpv4_headers {
	struct iphdr ip;
	struct icmp_header icmp;
};

struct icmpv6_headers {
	struct ipv6hdr ip;
	struct icmp_header icmp;
};

static __always_inline int
prepend_icmpv4(struct __sk_buff *skb, const struct packet *packet, const struct icmp_error *error, __u32 quoted)
{
	struct icmpv4_headers headers = {
		.icmp = { .type = error->type, .code = error->code, .mtu = bpf_htonl(error->mtu) },
	};
	__s64 sum = sum_of_quote(skb, packet, quoted, 0);
	if (sum < 0) return -1;
	headers.icmp.check = ~folded(bpf_csum_diff(NULL, 0, (__be32 *)&headers.icmp, sizeof(headers.icmp), sum));

	*(__u8 *)&headers.ip = IPV4_VERSION_AND_LENGTH;
	headers.ip.tot_len = bpf_htons(sizeof(headers) + quoted);
	headers.ip.ttl = REPLY_TIME_TO_LIVE;
	headers.ip.protocol = IPPROTO_ICMP;
	headers.ip.saddr = packet->tuple.destination.word[3];
	headers.ip.daddr = packet->tuple.source.word[3];
	headers.ip.check = ~folded(bpf_csum_diff(NULL, 0, (__be32 *)&headers.ip, sizeof(headers.ip), 0));
	if (bpf_skb_adjust_room(skb, sizeof(headers), BPF_ADJ_ROOM_MAC, 0) != 0) return -1;
	return bpf_skb_store_bytes(skb, packet->network, &headers, sizeof(headers), BPF_F_RECOMPUTE_CSUM);
}

static __always_inline int
prepend_icmpv6(struct __sk_buff *skb, const struct packet *packet, const struct icmp_error *error, __u32 quoted)
{
	struct icmpv6_headers headers = {
		.icmp = { .type = error->type, .code = error->code, .mtu = bpf_htonl(error->mtu) },
	};
	__u32 length = sizeof(headers.icmp) + quoted;
	__s64 sum = sum_of_quote(skb, packet, quoted, folded(pseudo_header_sum(packet, IPPROTO_ICMPV6, length, 0)));
	if (sum < 0) return -1;
	headers.icmp.check = ~folded(bpf_csum_diff(NULL, 0, (__be32 *)&headers.icmp, sizeof(headers.icmp), sum));

	*(__u8 *)&headers.ip = IPV6_VERSION;
	headers.ip.payload_len = bpf_htons(length);
	headers.ip.hop_limit = REPLY_TIME_TO_LIVE;
	headers.ip.nexthdr = IPPROTO_ICMPV6;
	__builtin_memcpy(&headers.ip.saddr, &packet->tuple.destination, sizeof(headers.ip.saddr));
	__builtin_memcpy(&headers.ip.daddr, &packet->tuple.source, sizeof(headers.ip.daddr));
	if (bpf_skb_adjust_room(skb, sizeof(headers), BPF_ADJ_ROOM_MAC, 0) != 0) return -1;
	return bpf_skb_store_bytes(skb, packet->network, &headers, sizeof(headers), BPF_F_RECOMPUTE_CSUM);
}

VERIFIED_ONCE int
reject_with_icmp(struct __sk_buff *skb, const struct packet *packet, const struct icmp_error *error)
{
	if (!packet || !error) return TC_ACT_SHOT;
	/* RFC 1122, 3.2.2: no error is sent about a later fragment. */
	if (packet->transport_length == 0) return TC_ACT_SHOT;
	/* Errors for the discovery of the path's MTU have no limit, as in the kernel: they are smaller than their cause. */
	if (error->mtu == 0 && !may_send_error(packet)) {
		count_drop(DROP_ICMP_LIMIT);
		return TC_ACT_SHOT;
	}
	__u32 end = packet->transport + quoted_transport(packet->tuple.protocol);
	if (bpf_skb_change_tail(skb, end, 0) != 0) return TC_ACT_SHOT;
	__u32 quoted = end - packet->network;
	int failed = packet->family == AF_INET ? prepend_icmpv4(skb, packet, error, quoted) :
						 prepend_icmpv6(skb, packet, error, quoted);
	return failed ? TC_ACT_SHOT : send_back(skb, packet);
}

/*
 * Rejects a connection as kube-proxy does, except that TCP gets a reset, on which every client acts at once.
 */
static __always_inline int reject_connection(struct __sk_buff *skb, const struct packet *packet)
{
	if (packet->tuple.protocol == IPPROTO_TCP) return reject_with_reset(skb, packet);
	const struct icmp_error ipv4 = { .type = ICMP_DEST_UNREACH, .code = ICMP_PORT_UNREACH };
	const struct icmp_error ipv6 = { .type = ICMPV6_DEST_UNREACH, .code = ICMPV6_PORT_UNREACH };
	return reject_with_icmp(skb, packet, packet->family == AF_INET ? &ipv4 : &ipv6);
}

/* Answers "fragmentation needed" or "packet too big". */
static __always_inline int reject_too_big(struct __sk_buff *skb, const struct packet *packet, __u16 mtu)
{
	const struct icmp_error ipv4 = { .type = ICMP_DEST_UNREACH, .code = ICMP_FRAG_NEEDED, .mtu = mtu };
	const struct icmp_error ipv6 = { .type = ICMPV6_PKT_TOOBIG, .mtu = mtu };
	return reject_with_icmp(skb, packet, packet->family == AF_INET ? &ipv4 : &ipv6);
}

/* Answers "time exceeded". */
static __always_inline int reject_hop_limit(struct __sk_buff *skb, const struct packet *packet)
{
	const struct icmp_error ipv4 = { .type = ICMP_TIME_EXCEEDED, .code = ICMP_EXC_TTL };
	const struct icmp_error ipv6 = { .type = ICMPV6_TIME_EXCEED, .code = ICMPV6_EXC_HOPLIMIT };
	return reject_with_icmp(skb, packet, packet->family == AF_INET ? &ipv4 : &ipv6);
}
