/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Peers of sockets that send datagrams without being connected. They are stored with the socket and freed with it, so
 * that no socket can evict what another one remembers.
 */
#pragma once

#include "../address.h"

enum peer_flag {
	/* The last datagram to the frontend went to this endpoint. At most one peer per frontend has this flag. */
	PEER_LATEST = 1,
	/*
	 * The last datagram to the endpoint was sent to this frontend, so replies show the frontend as their source. At
	 * most one peer per endpoint has this flag: none if the socket last sent to the endpoint's own address.
	 */
	PEER_SHOWN = 2,
};

/* A frontend to which a socket sent datagrams, and the endpoint that got them. */
struct peer {
	struct address service_address;
	struct address endpoint_address;
	__be16 service_port;
	__be16 endpoint_port;
	__u32 service;
	/* Members of struct choice. */
	__u32 first;
	__u32 generation;
	/* The `clock` of the socket's last datagram to the frontend. */
	__u32 used;
	__u32 flags; /* enum peer_flag */
};

/* Peers that a socket remembers. With more, it forgets the least recently used. */
#define MAX_PEERS 16

struct peers {
	/* Threads may share a socket. */
	struct bpf_spin_lock lock;
	__u32 clock;
	__u32 count;
	__u32 zero;
	struct peer list[MAX_PEERS];
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct peers);
} socket_peers SEC(".maps");

/* Returns the peers of a socket; NULL if it has none. BPF_SK_STORAGE_GET_F_CREATE in `flags` creates an empty list. */
static __always_inline struct peers *peers_of(struct bpf_sock_addr *ctx, __u64 flags)
{
	return ctx->sk ? bpf_sk_storage_get(&socket_peers, ctx->sk, NULL, flags) : NULL;
}

/* One condition instead of five, because the verifier follows each in every round of a loop. */
static __always_inline int is_at(const struct address *a, __be16 port_a, const struct address *b, __be16 port_b)
{
	return ((a->word[0] ^ b->word[0]) | (a->word[1] ^ b->word[1]) | (a->word[2] ^ b->word[2]) |
		(a->word[3] ^ b->word[3]) | (__u32)(port_a ^ port_b)) == 0;
}

static __always_inline int is_at_frontend(const struct peer *peer, const struct address *address, __be16 port)
{
	return is_at(&peer->service_address, peer->service_port, address, port);
}

static __always_inline int is_at_endpoint(const struct peer *peer, const struct address *address, __be16 port)
{
	return is_at(&peer->endpoint_address, peer->endpoint_port, address, port);
}

/*
 * For `for` loops over the used peers of a locked list. The only state that a loop carries should be its index, because
 * the verifier follows every combination.
 */
#define IS_USED(known, index) ((index) < MAX_PEERS && (index) < (known)->count)

/* Copies the peer that the last datagram to a frontend went to; returns 0 if there is none. */
static __always_inline int
find_latest(struct peers *known, const struct address *address, __be16 port, struct peer *found)
{
	int is_found = 0;
	bpf_spin_lock(&known->lock);
	for (__u32 index = 0; IS_USED(known, index); index++) {
		const struct peer *peer = &known->list[index];
		if (!(peer->flags & PEER_LATEST) || !is_at_frontend(peer, address, port)) continue;
		*found = *peer;
		is_found = 1;
		break;
	}
	bpf_spin_unlock(&known->lock);
	return is_found;
}

/* Copies the peer whose frontend replies of an endpoint show; returns 0 if there is none. */
static __always_inline int
find_shown(struct peers *known, const struct address *address, __be16 port, struct peer *found)
{
	int is_found = 0;
	bpf_spin_lock(&known->lock);
	for (__u32 index = 0; IS_USED(known, index); index++) {
		const struct peer *peer = &known->list[index];
		if (!(peer->flags & PEER_SHOWN) || !is_at_endpoint(peer, address, port)) continue;
		*found = *peer;
		is_found = 1;
		break;
	}
	bpf_spin_unlock(&known->lock);
	return is_found;
}

/* Returns the least recently used slot of a full list. */
static __always_inline __u32 oldest_slot(const struct peers *known)
{
	__u32 oldest = 0, age = 0;
	for (__u32 index = 0; index < MAX_PEERS; index++) {
		__u32 unused_for = known->clock - known->list[index].used;
		if (unused_for < age) continue;
		age = unused_for;
		oldest = index;
	}
	return oldest;
}

/* Stores a peer that a socket sends a datagram to. Returns 1 if it is new. */
static __always_inline int store_peer(struct peers *known, const struct peer *sent_to)
{
	__u32 slot = MAX_PEERS;
	bpf_spin_lock(&known->lock);
	for (__u32 index = 0; IS_USED(known, index); index++) {
		struct peer *peer = &known->list[index];
		if (is_at_frontend(peer, &sent_to->service_address, sent_to->service_port))
			peer->flags &= ~PEER_LATEST;
		if (is_at_endpoint(peer, &sent_to->endpoint_address, sent_to->endpoint_port))
			peer->flags &= ~PEER_SHOWN;
	}
	for (__u32 index = 0; IS_USED(known, index); index++) {
		const struct peer *peer = &known->list[index];
		if (!is_at_frontend(peer, &sent_to->service_address, sent_to->service_port)) continue;
		if (!is_at_endpoint(peer, &sent_to->endpoint_address, sent_to->endpoint_port)) continue;
		slot = index;
		break;
	}
	int is_new = slot == MAX_PEERS;
	if (is_new) slot = known->count < MAX_PEERS ? known->count++ : oldest_slot(known);
	if (slot < MAX_PEERS) {
		known->list[slot] = *sent_to;
		known->list[slot].used = ++known->clock;
		known->list[slot].flags = PEER_LATEST | PEER_SHOWN;
	}
	bpf_spin_unlock(&known->lock);
	return is_new;
}

/* Notes that a socket sends to an endpoint's own address, so that its replies show that. */
static __always_inline void note_direct(struct peers *known, const struct address *address, __be16 port)
{
	bpf_spin_lock(&known->lock);
	for (__u32 index = 0; IS_USED(known, index); index++) {
		struct peer *peer = &known->list[index];
		if (is_at_endpoint(peer, address, port)) peer->flags &= ~PEER_SHOWN;
	}
	bpf_spin_unlock(&known->lock);
}
