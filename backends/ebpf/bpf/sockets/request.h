/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Choice of an endpoint for a socket. */
#pragma once

#include "../choice.h"
#include "peers.h"

#define AF_INET 2   /* linux/socket.h */
#define AF_INET6 10 /* linux/socket.h */

/*
 * Clients of services with affinity: network namespaces. A map of its own, so that packets, whose sources may be forged,
 * evict no client on this node.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1 << 16);
	__type(key, struct client);
	__type(value, struct choice);
} socket_affinity SEC(".maps");

/* The frontend that a socket asks for, and the endpoint that it gets. */
struct request {
	struct frontend frontend;
	struct endpoint endpoint;
	__u32 service;
	__u32 counters; /* key */
	/* Members of struct choice. */
	__u32 first;
	__u32 generation;
};

enum outcome {
	/* Not a service: the socket keeps the address that it asked for. */
	OUTCOME_UNCHANGED,
	/* The socket gets `endpoint`. */
	OUTCOME_BALANCED,
	OUTCOME_REJECT,
	OUTCOME_DROP,
};

static __always_inline __u8 protocol_of(struct bpf_sock_addr *ctx)
{
	/* Multipath TCP is TCP for services and endpoints. */
	return ctx->protocol == IPPROTO_MPTCP ? IPPROTO_TCP : ctx->protocol;
}

static __always_inline int is_balanced(struct bpf_sock_addr *ctx)
{
	return ctx->protocol == IPPROTO_TCP || ctx->protocol == IPPROTO_UDP || ctx->protocol == IPPROTO_MPTCP;
}

static __always_inline struct address requested_address(struct bpf_sock_addr *ctx, int family)
{
	if (family == AF_INET) return address_of_ipv4(ctx->user_ip4);
	return (struct address){
		.word = { ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2], ctx->user_ip6[3] },
	};
}

static __always_inline void
set_address(struct bpf_sock_addr *ctx, int family, const struct address *address, __be16 port)
{
	if (family == AF_INET) {
		ctx->user_ip4 = address->word[3];
	} else {
		ctx->user_ip6[0] = address->word[0];
		ctx->user_ip6[1] = address->word[1];
		ctx->user_ip6[2] = address->word[2];
		ctx->user_ip6[3] = address->word[3];
	}
	ctx->user_port = port;
}

/* The destination of a socket. The kernel takes the unspecified address for the loopback address. */
static __always_inline struct address destination_of(struct bpf_sock_addr *ctx, int family)
{
	struct address address = requested_address(ctx, family);
	if (!is_unspecified(&address)) return address;
	address.word[3] = is_ipv4_address(&address) ? bpf_htonl(0x7f000001) : bpf_htonl(1);
	return address;
}

static __always_inline int is_of_node(struct bpf_sock_addr *ctx, const struct settings *settings)
{
	return settings && settings->namespace == bpf_get_netns_cookie(ctx);
}

/* Reports whether sockets of this network namespace are balanced, or their packets are (--ebpf-sockets). */
static __always_inline int is_covered(struct bpf_sock_addr *ctx)
{
	struct settings *settings = settings_of_node();
	return settings && (!(settings->flags & SETTING_SOCKETS_OF_NODE) || is_of_node(ctx, settings));
}

static __always_inline int
find_requested(struct bpf_sock_addr *ctx, const struct frontend *frontend, struct service *service)
{
	if (find_destination(frontend, service)) return 1;
	if (!find_node_port(frontend, service)) return 0;
	/* The loopback address of a pod belongs to the pod. */
	return !is_loopback(&frontend->address) || is_of_node(ctx, settings_of_node());
}

/*
 * Checks a socket against the service's source ranges. A socket of the node that has no address yet is
 * treated as having the address that it asks for, because ranges with the node's address contain that one too
 * (docs/behaviour.md §4.6). The address of a pod's socket is not known before there is a packet.
 */
static __always_inline enum outcome
check_source(struct bpf_sock_addr *ctx, int family, __u32 service, const struct address *requested)
{
	struct address source = {};
	/*
	 * Volatile, because the verifier requires each field to be read at its own offset, not from a
	 * computed address.
	 */
	volatile struct bpf_sock *sk = ctx->sk;
	if (sk) {
		if (family == AF_INET) source = address_of_ipv4(sk->src_ip4);
		else {
			source.word[0] = sk->src_ip6[0];
			source.word[1] = sk->src_ip6[1];
			source.word[2] = sk->src_ip6[2];
			source.word[3] = sk->src_ip6[3];
		}
	}
	if (source.word[3] == 0) {
		if (!is_of_node(ctx, settings_of_node())) return OUTCOME_UNCHANGED;
		source = *requested;
	}
	return is_source_allowed(service, &source) ? OUTCOME_BALANCED : OUTCOME_DROP;
}

/* Gives an unconnected socket the endpoint that its last datagram to the frontend went to, if that still serves. */
VERIFIED_ONCE int
choose_again(struct bpf_sock_addr *ctx, const struct service *service, struct request *request)
{
	struct peers *known = peers_of(ctx, 0);
	struct peer peer;
	if (!known || !service || !request || !find_latest(known, &request->frontend.address, request->frontend.port, &peer))
		return 0;
	if (peer.service != service->id) return 0;
	struct choice choice = {
		.address = peer.endpoint_address,
		.port = peer.endpoint_port,
		.first = peer.first,
		.generation = peer.generation,
	};
	if (!revalidate(service, &service->serving, &choice)) return 0;
	request->endpoint.address = choice.address;
	request->endpoint.port = choice.port;
	return 1;
}

static __always_inline int choose_for_socket(struct bpf_sock_addr *ctx, int is_connecting, const struct service *service,
					     const struct list *list, struct request *request)
{
	if (service->affinity_seconds) {
		__u64 cookie = bpf_get_netns_cookie(ctx);
		struct stickiness sticky = {
			.client = {
				.service = service->id,
				.kind = CLIENT_NAMESPACE,
				.name = { .word = { cookie, cookie >> 32 } },
			},
			.lifetime = service->affinity_seconds * NANOSECONDS,
			.kept = *list,
		};
		return choose(&socket_affinity, service, list, &sticky, hash_for(&sticky), &request->endpoint);
	}
	if (!is_connecting && choose_again(ctx, service, request)) return 1;
	return choose_slot(list, bpf_get_prandom_u32(), &request->endpoint);
}

/* Chooses an endpoint for a socket. is_connecting: false for a datagram of a socket that is not connected. */
static __always_inline enum outcome
balance(struct bpf_sock_addr *ctx, int family, int is_connecting, struct request *request)
{
	request->frontend.address = destination_of(ctx, family);
	request->frontend.port = ctx->user_port;
	request->frontend.protocol = protocol_of(ctx);

	struct service service = {};
	if (!is_covered(ctx)) return OUTCOME_UNCHANGED;
	if (!find_requested(ctx, &request->frontend, &service)) {
		int verdict = verdict_without_service(&request->frontend, &service);
		if (verdict < 0) return OUTCOME_UNCHANGED;
		count_drop(DROP_NO_SERVICE);
		return verdict == VERDICT_REJECT ? OUTCOME_REJECT : OUTCOME_DROP;
	}
	if (service.flags & SERVICE_SOURCE_RANGES) {
		enum outcome admitted = check_source(ctx, family, service.id, &request->frontend.address);
		if (admitted == OUTCOME_DROP) count_refusal(&service, DROP_SOURCE_RANGE);
		if (admitted != OUTCOME_BALANCED) return admitted;
	}
	if (service.verdict == VERDICT_REJECT) {
		count_refusal(&service, DROP_NO_ENDPOINTS);
		return OUTCOME_REJECT;
	}

	struct list list = service.verdict == VERDICT_BALANCE_LOCAL ? service.local : service.cluster;
	if (service.verdict == VERDICT_DROP || !choose_for_socket(ctx, is_connecting, &service, &list, request)) {
		count_refusal(&service, DROP_NO_LOCAL_ENDPOINTS);
		return OUTCOME_DROP;
	}
	request->service = service.id;
	request->counters = counters_key(service.id, kind_of(&service));
	request->first = service.serving.first;
	request->generation = service.generation;
	return OUTCOME_BALANCED;
}
