// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * Load balancing of sockets of this node. The address of a service is replaced by that of an endpoint when a
 * socket connects, or sends a datagram without being connected. It is restored when the socket asks for the
 * address of its peer. Packets carry the endpoint's address from the start, so they are not translated.
 *
 * All clients are on this node, so with externalTrafficPolicy Local they get all endpoints (docs/behaviour.md
 * §4.3), and source addresses do not change.
 */
#include <linux/errno.h>
#include "choice.h"
#include "sockets.h"

#define AF_INET 2   /* linux/socket.h */
#define AF_INET6 10 /* linux/socket.h */

#define ALLOW 1
#define DENY 0

/* The frontend that a socket asks for, and the endpoint that it gets. */
struct request {
	struct frontend frontend;
	__u32 service;
	__u32 counters; /* key */
	struct endpoint endpoint;
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

static __always_inline struct client client_of(__u32 service, enum client_kind kind, __u64 cookie)
{
	return (struct client){
		.service = service,
		.kind = kind,
		.name = { .word = { cookie, cookie >> 32 } },
	};
}

static __always_inline int
find_requested(struct bpf_sock_addr *ctx, const struct frontend *frontend, struct service *service)
{
	if (find_service(frontend, service)) return 1;
	if (!find_node_port(frontend, service)) return 0;
	if (!is_loopback(&frontend->address)) return 1;
	/* The loopback address of a pod belongs to the pod. */
	struct settings *settings = settings_of_node();
	return settings && settings->namespace == bpf_get_netns_cookie(ctx);
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
		struct settings *settings = settings_of_node();
		if (!settings || settings->namespace != bpf_get_netns_cookie(ctx)) return OUTCOME_UNCHANGED;
		source = *requested;
	}
	return is_source_allowed(service, &source) ? OUTCOME_BALANCED : OUTCOME_DROP;
}

static __always_inline int
choose_for_socket(struct bpf_sock_addr *ctx, int keep_endpoint, const struct service *service, const struct list *list,
		  struct endpoint *endpoint)
{
	__u32 random = bpf_get_prandom_u32();
	struct stickiness sticky = { .kept = *list };
	if (service->affinity_seconds) {
		sticky.client = client_of(service->id, CLIENT_NAMESPACE, bpf_get_netns_cookie(ctx));
		sticky.lifetime = service->affinity_seconds * NANOSECONDS;
	} else if (keep_endpoint) {
		sticky.client = client_of(service->id, CLIENT_SOCKET, bpf_get_socket_cookie(ctx));
		sticky.kept = service->serving;
		return choose_with(&socket_choices, service, list, &sticky, random, endpoint);
	}
	return choose(service, list, &sticky, random, endpoint);
}

/*
 * Chooses an endpoint for a socket. keep_endpoint: the socket is not connected, but shall stay with one
 * endpoint.
 */
static __always_inline enum outcome
balance(struct bpf_sock_addr *ctx, int family, int keep_endpoint, struct request *request)
{
	request->frontend.address = requested_address(ctx, family);
	request->frontend.port = ctx->user_port;
	request->frontend.protocol = protocol_of(ctx);

	struct service service = {};
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
	if (service.verdict == VERDICT_DROP ||
	    !choose_for_socket(ctx, keep_endpoint, &service, &list, &request->endpoint)) {
		count_refusal(&service, DROP_NO_LOCAL_ENDPOINTS);
		return OUTCOME_DROP;
	}
	request->service = service.id;
	request->counters = counters_key(service.id, kind_of(&service));
	return OUTCOME_BALANCED;
}

/* Stores the frontend by which an unconnected socket knows its endpoint. Returns 1 if this is new. */
static __always_inline int store_peer(struct bpf_sock_addr *ctx, const struct request *request)
{
	struct peer peer = {
		.socket = bpf_get_socket_cookie(ctx),
		.address = request->endpoint.address,
		.port = request->endpoint.port,
	};
	struct peer_frontend *known = bpf_map_lookup_elem(&peers, &peer);
	if (known && known->port == request->frontend.port && same_address(&known->address, &request->frontend.address))
		return 0;
	struct peer_frontend by = {
		.address = request->frontend.address,
		.port = request->frontend.port,
		.service = request->service,
	};
	bpf_map_update_elem(&peers, &peer, &by, BPF_ANY);
	return 1;
}

/* ---- connect: TCP and connected UDP ---- */

static __always_inline void store_connection(struct bpf_sock_addr *ctx, const struct request *request)
{
	struct connection connection = {
		.service_address = request->frontend.address,
		.endpoint_address = request->endpoint.address,
		.service_port = request->frontend.port,
		.endpoint_port = request->endpoint.port,
		.service = request->service,
	};
	if (!ctx->sk) return;
	struct connection *stored = bpf_sk_storage_get(&connections, ctx->sk, &connection, BPF_SK_STORAGE_GET_F_CREATE);
	/* A socket may connect more than once. */
	if (stored) *stored = connection;
}

/* Deletes the entry of a socket that now connects to another address than a service's. */
static __always_inline void delete_connection(struct bpf_sock_addr *ctx)
{
	if (ctx->sk) bpf_sk_storage_delete(&connections, ctx->sk);
}

static __always_inline int connect(struct bpf_sock_addr *ctx, int family)
{
	struct request request = {};
	if (!is_balanced(ctx)) return ALLOW;
	switch (balance(ctx, family, 0, &request)) {
	case OUTCOME_UNCHANGED:
		delete_connection(ctx);
		return ALLOW;
	case OUTCOME_REJECT:
		bpf_set_retval(-ECONNREFUSED);
		return DENY;
	case OUTCOME_DROP:
		/* The error of a connection whose packets are dropped, without the wait. */
		bpf_set_retval(-ETIMEDOUT);
		return DENY;
	case OUTCOME_BALANCED:
		store_connection(ctx, &request);
		count_connection(request.counters);
		set_address(ctx, family, &request.endpoint.address, request.endpoint.port);
	}
	return ALLOW;
}

SEC("cgroup/connect4")
int connect4(struct bpf_sock_addr *ctx)
{
	return connect(ctx, AF_INET);
}

SEC("cgroup/connect6")
int connect6(struct bpf_sock_addr *ctx)
{
	return connect(ctx, AF_INET6);
}

/* ---- sendmsg: datagrams of sockets that are not connected ---- */

static __always_inline int sendmsg(struct bpf_sock_addr *ctx, int family)
{
	struct request request = {};
	switch (balance(ctx, family, 1, &request)) {
	case OUTCOME_UNCHANGED:
		return ALLOW;
	case OUTCOME_REJECT:
		bpf_set_retval(-ECONNREFUSED);
		return DENY;
	case OUTCOME_DROP:
		/* The error of a datagram from the node that netfilter drops. */
		bpf_set_retval(-EPERM);
		return DENY;
	case OUTCOME_BALANCED:
		/* The first datagram of a socket to an endpoint counts as a connection. */
		if (store_peer(ctx, &request)) count_connection(request.counters);
		set_address(ctx, family, &request.endpoint.address, request.endpoint.port);
	}
	return ALLOW;
}

SEC("cgroup/sendmsg4")
int sendmsg4(struct bpf_sock_addr *ctx)
{
	return sendmsg(ctx, AF_INET);
}

SEC("cgroup/sendmsg6")
int sendmsg6(struct bpf_sock_addr *ctx)
{
	return sendmsg(ctx, AF_INET6);
}

/* ---- recvmsg and getpeername: restore the service's address ---- */

static __always_inline int restore_connection(struct bpf_sock_addr *ctx, int family)
{
	if (!ctx->sk) return 0;
	struct connection *connection = bpf_sk_storage_get(&connections, ctx->sk, NULL, 0);
	if (!connection) return 0;
	struct address address = requested_address(ctx, family);
	if (connection->endpoint_port != (__be16)ctx->user_port || !same_address(&connection->endpoint_address, &address))
		return 0;
	set_address(ctx, family, &connection->service_address, connection->service_port);
	return 1;
}

static __always_inline void restore_peer(struct bpf_sock_addr *ctx, int family)
{
	struct peer peer = {
		.socket = bpf_get_socket_cookie(ctx),
		.address = requested_address(ctx, family),
		.port = ctx->user_port,
	};
	struct peer_frontend *by = bpf_map_lookup_elem(&peers, &peer);
	if (by) set_address(ctx, family, &by->address, by->port);
}

SEC("cgroup/recvmsg4")
int recvmsg4(struct bpf_sock_addr *ctx)
{
	if (!restore_connection(ctx, AF_INET)) restore_peer(ctx, AF_INET);
	return ALLOW;
}

SEC("cgroup/recvmsg6")
int recvmsg6(struct bpf_sock_addr *ctx)
{
	if (!restore_connection(ctx, AF_INET6)) restore_peer(ctx, AF_INET6);
	return ALLOW;
}

SEC("cgroup/getpeername4")
int getpeername4(struct bpf_sock_addr *ctx)
{
	restore_connection(ctx, AF_INET);
	return ALLOW;
}

SEC("cgroup/getpeername6")
int getpeername6(struct bpf_sock_addr *ctx)
{
	restore_connection(ctx, AF_INET6);
	return ALLOW;
}

/* Helpers such as bpf_ktime_get_ns() are available only to programs under the GPL. */
char license_of_programs[] SEC("license") = "GPL";
