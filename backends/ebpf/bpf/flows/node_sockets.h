/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The node's own sockets: their packets are left to the stack, and no new flow gets a tuple of theirs. Linux looks up
 * TCP sockets by tuple. A UDP socket does not tell to whom it has sent, so the datagrams that leave from the port of a
 * service are remembered.
 */
#pragma once

#include "conntrack.h"

/* States of TCP sockets: include/net/tcp_states.h */
#define TCP_LISTEN 10

/* Writes the tuple for the helpers that look up sockets and flows; returns its size, which depends on the family. */
static __always_inline __u32 write_socket_tuple(struct bpf_sock_tuple *key, const struct tuple *tuple)
{
	__builtin_memset(key, 0, sizeof(*key));
	if (is_ipv4_address(&tuple->source)) {
		key->ipv4.saddr = tuple->source.word[3];
		key->ipv4.daddr = tuple->destination.word[3];
		key->ipv4.sport = tuple->source_port;
		key->ipv4.dport = tuple->destination_port;
		return sizeof(key->ipv4);
	}
	__builtin_memcpy(key->ipv6.saddr, tuple->source.word, sizeof(key->ipv6.saddr));
	__builtin_memcpy(key->ipv6.daddr, tuple->destination.word, sizeof(key->ipv6.daddr));
	key->ipv6.sport = tuple->source_port;
	key->ipv6.dport = tuple->destination_port;
	return sizeof(key->ipv6);
}

static __always_inline int is_connection(struct bpf_sock *socket)
{
	if (!socket) return 0;
	int result = socket->state != TCP_LISTEN;
	bpf_sk_release(socket);
	return result;
}

/* Reports whether incoming packets with this tuple belong to a TCP connection of the node. */
VERIFIED_ONCE int has_connection(struct __sk_buff *skb, const struct tuple *tuple)
{
	if (!tuple) return 0;
	struct bpf_sock_tuple key;
	if (write_socket_tuple(&key, tuple) == sizeof(key.ipv4))
		return is_connection(bpf_skc_lookup_tcp(skb, &key, sizeof(key.ipv4), BPF_F_CURRENT_NETNS, 0));
	return is_connection(bpf_skc_lookup_tcp(skb, &key, sizeof(key.ipv6), BPF_F_CURRENT_NETNS, 0));
}

static __always_inline int exists(struct bpf_sock *socket)
{
	if (!socket) return 0;
	bpf_sk_release(socket);
	return 1;
}

/* Reports whether incoming datagrams with this tuple get to a UDP socket of the node, connected or not. */
VERIFIED_ONCE int has_udp_socket(struct __sk_buff *skb, const struct tuple *tuple)
{
	if (!tuple) return 0;
	struct bpf_sock_tuple key;
	if (write_socket_tuple(&key, tuple) == sizeof(key.ipv4))
		return exists(bpf_sk_lookup_udp(skb, &key, sizeof(key.ipv4), BPF_F_CURRENT_NETNS, 0));
	return exists(bpf_sk_lookup_udp(skb, &key, sizeof(key.ipv6), BPF_F_CURRENT_NETNS, 0));
}

/* ---- datagrams of the node ---- */

/* A tuple of datagrams that the node expects, because it has sent one the other way. The value is when it sent the last. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1 << 12);
	__type(key, struct tuple);
	__type(value, __u64);
} own_datagrams SEC(".maps");

/* Reports whether the address and port are a frontend. Unlike find_service(), it does not say of which service. */
static __always_inline int is_frontend(const struct address *address, __be16 port, __u8 protocol)
{
	struct frontend key = { .address = *address, .port = port, .protocol = protocol };
	if (bpf_map_lookup_elem(&services, &key)) return 1;
	__u32 *flags = bpf_map_lookup_elem(&node_addresses, address);
	if (!flags || !(*flags & NODE_ADDRESS_PORTS)) return 0;
	key.address.word[3] = 0;
	if (!is_ipv4_address(address)) __builtin_memset(&key.address, 0, sizeof(key.address));
	return bpf_map_lookup_elem(&services, &key) != NULL;
}

/* Remembers a datagram that the node sends from the address and port of a service. */
static __noinline int note_own_datagram(const struct tuple *tuple)
{
	if (!is_frontend(&tuple->source, tuple->source_port, tuple->protocol)) return 0;
	struct tuple expected = reversed(tuple);
	__u64 now = coarse_time();
	__u64 *sent = bpf_map_lookup_elem(&own_datagrams, &expected);
	if (sent && now - *sent < SEEN_INTERVAL) return 0;
	bpf_map_update_elem(&own_datagrams, &expected, &now, BPF_ANY);
	return 0;
}

/* Reports whether the node has sent a datagram that this one may answer, for as long as netfilter remembers a flow. */
static __noinline int is_expected_by_node(const struct tuple *tuple, const struct settings *settings)
{
	struct tuple key = *tuple;
	__u64 *sent = bpf_map_lookup_elem(&own_datagrams, &key);
	if (!sent) return 0;
	__s64 idle = coarse_time() - *sent;
	return idle <= (__s64)(settings->udp_stream_seconds * NANOSECONDS);
}
