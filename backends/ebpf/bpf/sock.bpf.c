// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * Load balancing for sockets of this node: the address of a service is replaced by that of an endpoint when a socket
 * connects, or sends a datagram without being connected, and put back where the socket is told whom it talks to.
 * Packets carry the endpoint's address from the start, so nothing is translated on their way.
 *
 * Who calls is on this node: with externalTrafficPolicy Local it gets all endpoints (docs/behaviour.md §4.3), and
 * nobody's source address changes.
 */
#include <linux/errno.h>
#include "choice.h"
#include "sockets.h"

#define AF_INET 2   /* linux/socket.h */
#define AF_INET6 10 /* linux/socket.h */

#define ALLOW 1
#define DENY 0

/* What a socket asks for and what it is given instead. */
struct request {
	struct frontend frontend;
	__u32 service;
	struct endpoint endpoint;
};

enum outcome {
	/* Not ours: the socket gets what it asked for. */
	LEAVE,
	/* `endpoint` is where to go. */
	GO,
	REFUSE,
	DISCARD,
};

static __always_inline __u8 protocol_of(struct bpf_sock_addr *ctx)
{
	/* Multipath TCP is TCP to everyone else. */
	return ctx->protocol == IPPROTO_MPTCP ? IPPROTO_TCP : ctx->protocol;
}

static __always_inline int is_balanced(struct bpf_sock_addr *ctx)
{
	return ctx->protocol == IPPROTO_TCP || ctx->protocol == IPPROTO_UDP || ctx->protocol == IPPROTO_MPTCP;
}

static __always_inline struct address asked_address(struct bpf_sock_addr *ctx, int family)
{
	if (family == AF_INET) return address_of_ipv4(ctx->user_ip4);
	return (struct address){
		.word = { ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2], ctx->user_ip6[3] },
	};
}

static __always_inline void answer(struct bpf_sock_addr *ctx, int family, const struct address *address, __be16 port)
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
find_asked(struct bpf_sock_addr *ctx, const struct frontend *frontend, struct service *service)
{
	if (find_service(frontend, service)) return 1;
	if (!find_node_port(frontend, service)) return 0;
	if (!is_loopback(&frontend->address)) return 1;
	/* The loopback address of a pod is the pod's. */
	struct settings *settings = settings_of_node();
	return settings && settings->namespace == bpf_get_netns_cookie(ctx);
}

/*
 * Whether the socket is in the service's source ranges, as far as it can be told. One of the node that has no address
 * yet counts as the address it asks for: ranges that have the node's have that, too (docs/behaviour.md §4.6). That of a
 * pod is not known before there is a packet.
 */
static __always_inline enum outcome
admit(struct bpf_sock_addr *ctx, int family, __u32 service, const struct address *asked)
{
	struct address source = {};
	/* Volatile: the verifier wants each field read by its own offset, not from an address that was computed. */
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
		if (!settings || settings->namespace != bpf_get_netns_cookie(ctx)) return LEAVE;
		source = *asked;
	}
	return may_use(service, &source) ? GO : DISCARD;
}

static __always_inline int choose_for(struct bpf_sock_addr *ctx, int remember, const struct service *service,
				      const struct list *list, struct endpoint *endpoint)
{
	__u32 random = bpf_get_prandom_u32();
	struct memory memory = { .kept = *list };
	if (service->affinity_seconds) {
		memory.client = client_of(service->id, CLIENT_NAMESPACE, bpf_get_netns_cookie(ctx));
		memory.lifetime = service->affinity_seconds * NANOSECONDS;
	} else if (remember) {
		memory.client = client_of(service->id, CLIENT_SOCKET, bpf_get_socket_cookie(ctx));
		memory.kept = service->serving;
		return choose_with(&socket_choices, service, list, &memory, random, endpoint);
	}
	return choose(service, list, &memory, random, endpoint);
}

/* Finds where a socket is to go. remember: it is to stay with one endpoint although it is not connected. */
static __always_inline enum outcome balance(struct bpf_sock_addr *ctx, int family, int remember, struct request *request)
{
	request->frontend.address = asked_address(ctx, family);
	request->frontend.port = ctx->user_port;
	request->frontend.protocol = protocol_of(ctx);

	struct service service = {};
	if (!find_asked(ctx, &request->frontend, &service)) {
		int verdict = verdict_without_service(&request->frontend, &service);
		if (verdict < 0) return LEAVE;
		count_drop(DROP_NO_SERVICE);
		return verdict == VERDICT_REJECT ? REFUSE : DISCARD;
	}
	if (service.flags & SERVICE_SOURCE_RANGES) {
		enum outcome admitted = admit(ctx, family, service.id, &request->frontend.address);
		if (admitted == DISCARD) count_drop(DROP_SOURCE_RANGE);
		if (admitted != GO) return admitted;
	}
	if (service.verdict == VERDICT_REJECT) {
		count_drop(DROP_NO_ENDPOINTS);
		return REFUSE;
	}

	struct list list = service.verdict == VERDICT_BALANCE_LOCAL ? service.local : service.cluster;
	if (service.verdict == VERDICT_DROP || !choose_for(ctx, remember, &service, &list, &request->endpoint)) {
		count_drop(DROP_NO_LOCAL_ENDPOINTS);
		return DISCARD;
	}
	request->service = service.id;
	return GO;
}

/* Of datagrams: the endpoint that a socket sends to, and as what it knows it. Whether that is news. */
static __always_inline int remember_peer(struct bpf_sock_addr *ctx, const struct request *request)
{
	struct peer peer = {
		.socket = bpf_get_socket_cookie(ctx),
		.address = request->endpoint.address,
		.port = request->endpoint.port,
	};
	struct reached_by *known = bpf_map_lookup_elem(&peers, &peer);
	if (known && known->port == request->frontend.port && same_address(&known->address, &request->frontend.address))
		return 0;
	struct reached_by by = {
		.address = request->frontend.address,
		.port = request->frontend.port,
		.service = request->service,
	};
	bpf_map_update_elem(&peers, &peer, &by, BPF_ANY);
	return 1;
}

/* ---- connect: TCP and connected UDP ---- */

static __always_inline void remember_connection(struct bpf_sock_addr *ctx, const struct request *request)
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

/* What connects to an endpoint by its own address is no business of ours, even after it was there for a service. */
static __always_inline void forget_connection(struct bpf_sock_addr *ctx)
{
	if (ctx->sk) bpf_sk_storage_delete(&connections, ctx->sk);
}

static __always_inline int connect(struct bpf_sock_addr *ctx, int family)
{
	struct request request = {};
	if (!is_balanced(ctx)) return ALLOW;
	switch (balance(ctx, family, 0, &request)) {
	case LEAVE:
		forget_connection(ctx);
		return ALLOW;
	case REFUSE:
		bpf_set_retval(-ECONNREFUSED);
		return DENY;
	case DISCARD:
		/* What a connection whose packets are dropped ends with, without the wait. */
		bpf_set_retval(-ETIMEDOUT);
		return DENY;
	case GO:
		remember_connection(ctx, &request);
		count_connection(request.service);
		answer(ctx, family, &request.endpoint.address, request.endpoint.port);
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
	case LEAVE:
		return ALLOW;
	case REFUSE:
		bpf_set_retval(-ECONNREFUSED);
		return DENY;
	case DISCARD:
		/* What netfilter answers to a datagram of the node that it drops. */
		bpf_set_retval(-EPERM);
		return DENY;
	case GO:
		/* A socket's first datagram to an endpoint counts as a connection. */
		if (remember_peer(ctx, &request)) count_connection(request.service);
		answer(ctx, family, &request.endpoint.address, request.endpoint.port);
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

/* ---- recvmsg and getpeername: the service's address is what the socket knows ---- */

static __always_inline int restore_connection(struct bpf_sock_addr *ctx, int family)
{
	if (!ctx->sk) return 0;
	struct connection *connection = bpf_sk_storage_get(&connections, ctx->sk, NULL, 0);
	if (!connection) return 0;
	struct address address = asked_address(ctx, family);
	if (connection->endpoint_port != (__be16)ctx->user_port || !same_address(&connection->endpoint_address, &address))
		return 0;
	answer(ctx, family, &connection->service_address, connection->service_port);
	return 1;
}

static __always_inline void restore_peer(struct bpf_sock_addr *ctx, int family)
{
	struct peer peer = {
		.socket = bpf_get_socket_cookie(ctx),
		.address = asked_address(ctx, family),
		.port = ctx->user_port,
	};
	struct reached_by *by = bpf_map_lookup_elem(&peers, &peer);
	if (by) answer(ctx, family, &by->address, by->port);
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

/* Helpers such as bpf_ktime_get_ns() are for programs under the GPL. */
char license_of_programs[] SEC("license") = "GPL";
