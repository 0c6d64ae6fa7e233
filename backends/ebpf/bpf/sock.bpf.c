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
#include "sockets/request.h"
#include "sockets/connections.h"

#define ALLOW 1
#define DENY 0

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
	switch (balance(ctx, family, 1, &request)) {
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

/* Returns the connection of a socket that is connected to an endpoint of a service; NULL for all others. */
static __always_inline struct connection *connection_of(struct bpf_sock_addr *ctx)
{
	/* Volatile for the verifier: see check_source(). */
	volatile struct bpf_sock *sk = ctx->sk;
	if (!sk) return NULL;
	struct connection *connection = bpf_sk_storage_get(&connections, (void *)sk, NULL, 0);
	/* A socket can be disconnected, and no program sees that. */
	return connection && (__be16)sk->dst_port == connection->endpoint_port ? connection : NULL;
}

/* ---- sendmsg: datagrams with a destination ---- */

/*
 * Gives a datagram to the service that the socket is connected to the socket's endpoint: the kernel accepts replies of no
 * other one.
 */
static __always_inline int send_to_connected(struct bpf_sock_addr *ctx, int family)
{
	struct connection *connection = connection_of(ctx);
	if (!connection) return 0;
	struct address address = destination_of(ctx, family);
	if (!is_at(&connection->service_address, connection->service_port, &address, ctx->user_port)) return 0;
	set_address(ctx, family, &connection->endpoint_address, connection->endpoint_port);
	return 1;
}

/* Stores the frontend by which an unconnected socket knows its endpoint. Returns 1 if this is new. */
VERIFIED_ONCE int remember_peer(struct bpf_sock_addr *ctx, const struct request *request)
{
	if (!request) return 0;
	struct peer peer = {
		.service_address = request->frontend.address,
		.endpoint_address = request->endpoint.address,
		.service_port = request->frontend.port,
		.endpoint_port = request->endpoint.port,
		.service = request->service,
		.first = request->first,
		.generation = request->generation,
	};
	struct peers *known = peers_of(ctx, BPF_SK_STORAGE_GET_F_CREATE);
	return !known || store_peer(known, &peer);
}

static __always_inline void send_directly(struct bpf_sock_addr *ctx, int family)
{
	struct peers *known = peers_of(ctx, 0);
	if (!known) return;
	struct address address = requested_address(ctx, family);
	note_direct(known, &address, ctx->user_port);
}

static __always_inline int sendmsg(struct bpf_sock_addr *ctx, int family)
{
	struct request request = {};
	if (send_to_connected(ctx, family)) return ALLOW;
	switch (balance(ctx, family, 0, &request)) {
	case OUTCOME_UNCHANGED:
		send_directly(ctx, family);
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
		if (remember_peer(ctx, &request)) count_connection(request.counters);
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
	struct connection *connection = connection_of(ctx);
	if (!connection) return 0;
	struct address address = requested_address(ctx, family);
	if (!is_at(&connection->endpoint_address, connection->endpoint_port, &address, ctx->user_port)) return 0;
	set_address(ctx, family, &connection->service_address, connection->service_port);
	return 1;
}

static __always_inline void restore_peer(struct bpf_sock_addr *ctx, int family)
{
	struct peers *known = peers_of(ctx, 0);
	if (!known) return;
	struct address address = requested_address(ctx, family);
	struct peer peer;
	if (find_shown(known, &address, ctx->user_port, &peer))
		set_address(ctx, family, &peer.service_address, peer.service_port);
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
