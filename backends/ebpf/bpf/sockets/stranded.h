/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Finds connected sockets that have lost their endpoint. They do not send to a service, but to the address
 * that they got when they connected. They would do so for ever, or for minutes until TCP gives up.
 *
 * The programs are iterators over the sockets of one network namespace: reading an iterator runs its program.
 * backends/ebpf/sockets/stale_sockets.ts decides when. The file that includes this one defines what is done
 * with a socket that was found.
 */
#pragma once

#include "../choice.h"
#include "connections.h"

#define AF_INET 2   /* linux/socket.h */
#define AF_INET6 10 /* linux/socket.h */

/* TCP connections to services whose endpoints changed after this generation are left alone in this run. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} settled_generation SEC(".maps");

/*
 * The members of kernel structures that are used here. Their offsets are resolved when the programs are
 * loaded.
 */
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct sock_common {
	__be32 skc_daddr;
	__be32 skc_rcv_saddr;
	__be16 skc_dport;
	__u16 skc_num;
	unsigned short skc_family;
	int skc_bound_dev_if;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
};

struct udp_sock;
struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
};

struct bpf_iter__udp {
	struct bpf_iter_meta *meta;
	struct udp_sock *udp_sk;
};

struct bpf_iter__tcp {
	struct bpf_iter_meta *meta;
	struct sock_common *sk_common;
};
#pragma clang attribute pop

/* Called for each socket that has lost its endpoint. */
static __always_inline void on_stranded(struct sock_common *sk, struct bpf_iter_meta *meta);

/* Returns the connection that sock.bpf.c made for a socket; NULL if the socket has another peer by now. */
static __always_inline struct connection *connection_of(struct sock_common *sk)
{
	/* Listening and half-open sockets, and those in TIME_WAIT, have none. */
	struct connection *connection = bpf_sk_storage_get(&connections, sk, NULL, 0);
	if (!connection || sk->skc_dport != connection->endpoint_port) return NULL;
	struct address address = sk->skc_family == AF_INET6 ? address_of_ipv6(&sk->skc_v6_daddr) :
							      address_of_ipv4(sk->skc_daddr);
	return same_address(&address, &connection->endpoint_address) ? connection : NULL;
}

/* Copies the service that has the connection's frontend now; returns 0 if there is none. */
static __always_inline int
find_current(const struct connection *connection, __u8 protocol, struct service *service)
{
	struct frontend frontend = {
		.address = connection->service_address,
		.port = connection->service_port,
		.protocol = protocol,
	};
	return find_service(&frontend, service) || find_node_port(&frontend, service);
}

static __always_inline int has_endpoint_of(const struct service *service, const struct connection *connection)
{
	struct choice choice = { .address = connection->endpoint_address, .port = connection->endpoint_port };
	return has_endpoint(&service->serving, &choice);
}

/* Returns a UDP socket whose frontend or endpoint is gone; NULL for all others. */
static __always_inline struct sock_common *stranded_udp(struct bpf_iter__udp *ctx)
{
	struct sock_common *sk = (struct sock_common *)ctx->udp_sk;
	if (!sk) return NULL;
	struct connection *connection = connection_of(sk);
	if (!connection) return NULL;
	struct service service = {};
	return find_current(connection, IPPROTO_UDP, &service) && has_endpoint_of(&service, connection) ? NULL : sk;
}

/*
 * Returns a TCP socket whose service exists, but has lost the endpoint some time ago; NULL for all others.
 * Connections outlive a deleted service and the addresses that it loses. A service that takes over the
 * address has another id, and does not affect connections of its predecessor.
 */
static __always_inline struct sock_common *stranded_tcp(struct bpf_iter__tcp *ctx)
{
	struct sock_common *sk = ctx->sk_common;
	if (!sk) return NULL;
	struct connection *connection = connection_of(sk);
	if (!connection) return NULL;
	struct service service = {};
	if (!find_current(connection, IPPROTO_TCP, &service) || service.id != connection->service) return NULL;
	__u32 only = 0;
	__u32 *settled = bpf_map_lookup_elem(&settled_generation, &only);
	if (!settled || service.generation > *settled) return NULL;
	return has_endpoint_of(&service, connection) ? NULL : sk;
}

SEC("iter/udp")
int udp(struct bpf_iter__udp *ctx)
{
	struct sock_common *sk = stranded_udp(ctx);
	if (sk) on_stranded(sk, ctx->meta);
	return 0;
}

SEC("iter/tcp")
int tcp(struct bpf_iter__tcp *ctx)
{
	struct sock_common *sk = stranded_tcp(ctx);
	if (sk) on_stranded(sk, ctx->meta);
	return 0;
}

/* Helpers such as bpf_seq_write() are available only to programs under the GPL. */
char license_of_programs[] SEC("license") = "GPL";
