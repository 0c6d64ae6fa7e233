/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Parsing of packets. Headers are copied with bounds checked by the kernel, so they may be truncated, or lie
 * outside the linear part of the buffer.
 */
#pragma once

#include <linux/icmpv6.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include "../choice.h"

#define AF_INET 2   /* linux/socket.h */
#define AF_INET6 10 /* linux/socket.h */

#define VLAN_VID_MASK 0x0fff /* linux/if_vlan.h */
#define IP_OFFSET 0x1fff  /* net/ip.h: in iphdr.frag_off */
#define IP_MF 0x2000      /* net/ip.h */
#define IP_DF 0x4000      /* net/ip.h */
#define IP6_OFFSET 0xfff8 /* net/ipv6.h: in ipv6_fragment.offset */
#define IP6_MF 0x0001     /* net/ipv6.h */

/* From linux/icmp.h, which cannot be included here because it includes headers of the C library. */
#define ICMP_DEST_UNREACH 3
#define ICMP_TIME_EXCEEDED 11
#define ICMP_PARAMETERPROB 12
#define ICMP_PORT_UNREACH 3
#define ICMP_FRAG_NEEDED 4
#define ICMP_EXC_TTL 0

/* Header of ICMP and ICMPv6 errors: RFC 792, RFC 1191, RFC 4443. */
struct icmp_header {
	__u8 type;
	__u8 code;
	__sum16 check;
	__be32 mtu; /* in the error "too big" */
};

/* The fragment header of RFC 8200, which linux/ipv6.h lacks. */
struct ipv6_fragment {
	__u8 next_header;
	__u8 zero;
	__be16 offset;
	__be32 identification;
};

/* RFC 8200 defines five kinds, one of which may occur twice. Packets with more are not legitimate traffic. */
#define MAX_EXTENSION_HEADERS 6
#define EXTENSION_HEADER_UNIT 8 /* unit of ipv6_opt_hdr.hdrlen, which does not count the first unit */
#define HEADER_UNIT 4           /* unit of iphdr.ihl and tcphdr.doff */

enum tcp_flag {
	TCP_FIN = 0x01,
	TCP_SYN = 0x02,
	TCP_RST = 0x04,
	TCP_ACK = 0x10,
};

/* Offset of the byte with the flags in a TCP header. linux/tcp.h declares them as bit fields. */
#define TCP_FLAGS_OFFSET 13

enum packet_kind {
	/* Not a packet that services use, or invalid headers: left to the stack. */
	PACKET_OTHER,
	/* Has ports. */
	PACKET_TRANSPORT,
	/* A fragment without ports. */
	PACKET_LATER_FRAGMENT,
	PACKET_ICMP_ERROR,
};

/* Offsets are relative to the start of the buffer. */
struct packet {
	struct tuple tuple; /* without ports, and for IPv6 without protocol, if it is a PACKET_LATER_FRAGMENT */
	__u64 arrival;      /* bpf_ktime_get_coarse_ns(); set behind read_packet() */
	__u32 network;      /* offset of the IP header */
	__u32 transport;    /* offset behind all IP headers */
	__u32 end;          /* offset of the end, without padding of the link layer */
	__be32 identification;
	__u32 sequence;     /* TCP */
	__u32 sequence_end; /* TCP: sequence number behind the segment, in which SYN and FIN count */
	__u32 acknowledgement; /* TCP */
	__u16 family; /* AF_INET, AF_INET6 */
	__u16 transport_length;
	__sum16 header_check; /* IPv4 */
	__u8 type_of_service; /* IPv4 */
	__u8 time_to_live;    /* or hop limit */
	__u8 tcp_flags;
	__u8 is_first_fragment;
	__u8 may_be_fragmented; /* IPv4 without DF */
	/* The packet is quoted by an ICMP error, so it may be truncated. */
	__u8 is_quoted;
};

/* Reports whether a segment ends what its sender has to say. Endpoints ignore a FIN with SYN, and one without ACK. */
static __always_inline int is_fin(const struct packet *packet)
{
	return (packet->tcp_flags & (TCP_FIN | TCP_SYN | TCP_RST | TCP_ACK)) == (TCP_FIN | TCP_ACK);
}

/* TCP, UDP and SCTP begin with the ports. */
static __always_inline int has_ports(__u8 protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_SCTP;
}

/* Copies a header; returns 0 if the packet ends before the header does. */
static __always_inline int
read_header(struct __sk_buff *skb, const struct packet *packet, __u32 offset, void *header, __u32 length)
{
	return offset + length <= packet->end && bpf_skb_load_bytes(skb, offset, header, length) == 0;
}

static __always_inline enum packet_kind read_tcp(struct __sk_buff *skb, struct packet *packet)
{
	struct tcphdr tcp;
	if (!read_header(skb, packet, packet->transport, &tcp, sizeof(tcp))) return PACKET_OTHER;
	packet->tuple.source_port = tcp.source;
	packet->tuple.destination_port = tcp.dest;
	packet->tcp_flags = ((__u8 *)&tcp)[TCP_FLAGS_OFFSET];
	packet->transport_length = tcp.doff * HEADER_UNIT;
	__u32 payload = packet->transport + packet->transport_length;
	if (packet->transport_length < sizeof(tcp) || payload > packet->end) return PACKET_OTHER;
	packet->sequence = bpf_ntohl(tcp.seq);
	packet->sequence_end = packet->sequence + packet->end - payload;
	packet->sequence_end += !!(packet->tcp_flags & TCP_SYN) + !!(packet->tcp_flags & TCP_FIN);
	packet->acknowledgement = bpf_ntohl(tcp.ack_seq);
	return PACKET_TRANSPORT;
}

/* Reads a UDP header, or the first 8 bytes of an SCTP header, or of any quoted header. */
static __always_inline enum packet_kind read_ports(struct __sk_buff *skb, struct packet *packet)
{
	struct udphdr udp;
	if (!read_header(skb, packet, packet->transport, &udp, sizeof(udp))) return PACKET_OTHER;
	packet->tuple.source_port = udp.source;
	packet->tuple.destination_port = udp.dest;
	packet->transport_length = sizeof(udp);
	return PACKET_TRANSPORT;
}

static __always_inline int is_icmp_error(__u8 protocol, __u8 type)
{
	if (protocol == IPPROTO_ICMP)
		return type == ICMP_DEST_UNREACH || type == ICMP_TIME_EXCEEDED || type == ICMP_PARAMETERPROB;
	return type >= ICMPV6_DEST_UNREACH && type <= ICMPV6_PARAMPROB;
}

static __always_inline enum packet_kind read_icmp(struct __sk_buff *skb, struct packet *packet)
{
	struct icmp_header icmp;
	if (packet->is_first_fragment || packet->is_quoted) return PACKET_OTHER;
	if (!read_header(skb, packet, packet->transport, &icmp, sizeof(icmp))) return PACKET_OTHER;
	packet->transport_length = sizeof(icmp);
	return is_icmp_error(packet->tuple.protocol, icmp.type) ? PACKET_ICMP_ERROR : PACKET_OTHER;
}

static __always_inline enum packet_kind read_transport(struct __sk_buff *skb, struct packet *packet)
{
	__u8 protocol = packet->tuple.protocol;
	if (protocol == IPPROTO_TCP && !packet->is_quoted) return read_tcp(skb, packet);
	if (has_ports(protocol)) return read_ports(skb, packet);
	if (protocol == (packet->family == AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6)) return read_icmp(skb, packet);
	return PACKET_OTHER;
}

/* Returns the end of a packet with the given length in its header; 0 if the end is beyond the buffer. */
static __always_inline __u32 end_of(struct __sk_buff *skb, const struct packet *packet, __u32 length)
{
	__u32 available = skb->len - packet->network;
	/* 0 means that the length does not fit into its field: aggregated TCP. */
	if (length == 0 || (packet->is_quoted && length > available)) return skb->len;
	return length > available ? 0 : packet->network + length;
}

static __always_inline enum packet_kind read_ipv4(struct __sk_buff *skb, struct packet *packet)
{
	struct iphdr ip;
	if (bpf_skb_load_bytes(skb, packet->network, &ip, sizeof(ip)) != 0) return PACKET_OTHER;
	if (ip.version != 4 || ip.ihl * HEADER_UNIT < (int)sizeof(ip)) return PACKET_OTHER;

	packet->family = AF_INET;
	packet->end = end_of(skb, packet, bpf_ntohs(ip.tot_len));
	packet->transport = packet->network + ip.ihl * HEADER_UNIT;
	packet->header_check = ip.check;
	packet->time_to_live = ip.ttl;
	packet->type_of_service = ip.tos;
	packet->identification = ip.id;
	packet->tuple.source = address_of_ipv4(ip.saddr);
	packet->tuple.destination = address_of_ipv4(ip.daddr);
	packet->tuple.protocol = ip.protocol;

	__u16 fragment = bpf_ntohs(ip.frag_off);
	packet->may_be_fragmented = !(fragment & IP_DF);
	if (fragment & IP_OFFSET) return has_ports(ip.protocol) ? PACKET_LATER_FRAGMENT : PACKET_OTHER;
	packet->is_first_fragment = !!(fragment & IP_MF);
	return read_transport(skb, packet);
}

/* Reports whether a header may be followed by a transport header, besides that of fragments. */
static __always_inline int is_extension_header(__u8 header)
{
	return header == IPPROTO_HOPOPTS || header == IPPROTO_ROUTING || header == IPPROTO_DSTOPTS;
}

/*
 * Returns the kind of a later fragment. Only the first fragment tells the protocol for certain, because the fragment
 * header of a later one may have the number of the extension header that follows in the first one (RFC 8200, 4.5).
 */
static __always_inline enum packet_kind kind_of_later_fragment(__u8 next_header)
{
	return has_ports(next_header) || is_extension_header(next_header) ? PACKET_LATER_FRAGMENT : PACKET_OTHER;
}

/* Skips the extension headers at `transport`, and reads the transport header behind them. */
static __always_inline enum packet_kind
read_extension_headers(struct __sk_buff *skb, struct packet *packet, __u8 next_header)
{
	for (int count = 0; count <= MAX_EXTENSION_HEADERS; count++) {
		if (next_header == IPPROTO_FRAGMENT) {
			struct ipv6_fragment fragment;
			if (!read_header(skb, packet, packet->transport, &fragment, sizeof(fragment)))
				return PACKET_OTHER;
			next_header = fragment.next_header;
			packet->transport += sizeof(fragment);
			packet->identification = fragment.identification;
			__u16 offset = bpf_ntohs(fragment.offset);
			if (offset & IP6_OFFSET) return kind_of_later_fragment(next_header);
			packet->is_first_fragment = offset & IP6_MF;
		} else if (is_extension_header(next_header)) {
			struct ipv6_opt_hdr options;
			if (!read_header(skb, packet, packet->transport, &options, sizeof(options))) return PACKET_OTHER;
			next_header = options.nexthdr;
			packet->transport += (options.hdrlen + 1) * EXTENSION_HEADER_UNIT;
		} else {
			packet->tuple.protocol = next_header;
			return read_transport(skb, packet);
		}
	}
	return PACKET_OTHER;
}

static __always_inline enum packet_kind read_ipv6(struct __sk_buff *skb, struct packet *packet)
{
	struct ipv6hdr ip;
	if (bpf_skb_load_bytes(skb, packet->network, &ip, sizeof(ip)) != 0 || ip.version != 6) return PACKET_OTHER;

	packet->family = AF_INET6;
	packet->end = end_of(skb, packet, ip.payload_len == 0 ? 0 : sizeof(ip) + bpf_ntohs(ip.payload_len));
	packet->transport = packet->network + sizeof(ip);
	packet->time_to_live = ip.hop_limit;
	packet->tuple.source = address_of_ipv6(&ip.saddr);
	packet->tuple.destination = address_of_ipv6(&ip.daddr);
	/* Mapped addresses are not valid on the wire, and here they would be taken for IPv4. */
	if (is_ipv4_address(&packet->tuple.source) || is_ipv4_address(&packet->tuple.destination)) return PACKET_OTHER;
	return read_extension_headers(skb, packet, ip.nexthdr);
}

/*
 * Parses the packet whose IP header is at packet->network; all other members must be zero. Returns enum
 * packet_kind.
 */
VERIFIED_ONCE int read_packet(struct __sk_buff *skb, struct packet *packet)
{
	if (!packet) return PACKET_OTHER;
	if (skb->protocol == bpf_htons(ETH_P_IP)) return read_ipv4(skb, packet);
	if (skb->protocol == bpf_htons(ETH_P_IPV6)) return read_ipv6(skb, packet);
	return PACKET_OTHER;
}
