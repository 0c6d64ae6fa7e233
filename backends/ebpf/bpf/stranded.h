/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Which connected sockets have lost their endpoint. They do not send to a service, but to the address they were given
 * when they connected, and would do so for ever, or for minutes until TCP gives up.
 *
 * Iterators over the sockets of one network namespace: reading them runs them. stale_sockets.ts says when, and what
 * becomes of a socket that was found is said by who includes this.
 */
#pragma once

#include "choice.h"
#include "sockets.h"

#define AF_INET 2   /* linux/socket.h */
#define AF_INET6 10 /* linux/socket.h */

/* TCP: connections to services whose endpoints changed after this generation are left for another time. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} settled_generation SEC(".maps");

/* Of the kernel's structures what is used here; where it is in them is found when this is loaded. */
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

/* What is done with a socket that has lost its endpoint. */
static __always_inline void on_stranded(struct sock_common *sk, struct bpf_iter_meta *meta);

/* What a socket was connected to by sock.bpf.c, while it still is. */
static __always_inline struct connection *connection_of(struct sock_common *sk)
{
	/* Listening and half-open sockets, and those in TIME_WAIT, have none. */
	struct connection *connection = bpf_sk_storage_get(&connections, sk, NULL, 0);
	if (!connection || sk->skc_dport != connection->endpoint_port) return NULL;
	struct address address = sk->skc_family == AF_INET6 ? address_of_ipv6(&sk->skc_v6_daddr) :
							      address_of_ipv4(sk->skc_daddr);
	return same_address(&address, &connection->endpoint_address) ? connection : NULL;
}

/* The service that has the address now; 0 when none has. */
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

/* A UDP socket whose service nobody has any more, or has without its endpoint; or NULL. */
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
 * A TCP socket whose service is there, but has had no such endpoint for a while; or NULL. Connections outlive a service
 * that is deleted and addresses it loses; whoever has the address next has another id, and says nothing about its
 * predecessor's.
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

/* Helpers such as bpf_seq_write() are for programs under the GPL. */
char license_of_programs[] SEC("license") = "GPL";
