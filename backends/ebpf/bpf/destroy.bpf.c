// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * Ends connected UDP sockets whose endpoint their service has no more: they do not send to the service, but to the
 * address they were given when they connected, and would do so for ever. Who waits for an answer gets
 * ECONNABORTED, who sends EDESTADDRREQ, and opens another one, as after any other failure. TCP finds out by itself.
 *
 * An iterator over the sockets of one network namespace: reading it runs it. It writes a byte for each it ended.
 */
#include "choice.h"
#include "sockets.h"

#define AF_INET 2   /* linux/socket.h */
#define AF_INET6 10 /* linux/socket.h */

/* Of the kernel's structures what is used here; where it is in them is found when this is loaded. */
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct sock_common {
	__be32 skc_daddr;
	__be16 skc_dport;
	unsigned short skc_family;
	struct in6_addr skc_v6_daddr;
};

struct sock {
	struct sock_common __sk_common;
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
#pragma clang attribute pop

/* Since Linux 6.5, net/core/filter.c. */
extern int bpf_sock_destroy(struct sock_common *sk) __ksym;

static __always_inline int talks_to(const struct sock_common *sk, const struct connection *connection)
{
	if (sk->skc_dport != connection->endpoint_port) return 0;
	struct address address = sk->skc_family == AF_INET6 ? address_of_ipv6(&sk->skc_v6_daddr) :
							      address_of_ipv4(sk->skc_daddr);
	return same_address(&address, &connection->endpoint_address);
}

static __always_inline int is_served(const struct connection *connection)
{
	struct frontend frontend = {
		.address = connection->service_address,
		.port = connection->service_port,
		.protocol = IPPROTO_UDP,
	};
	struct choice choice = { .address = connection->endpoint_address, .port = connection->endpoint_port };
	struct service service = {};
	int is_found = find_service(&frontend, &service) || find_node_port(&frontend, &service);
	return is_found && has_endpoint(&service.serving, &choice);
}

SEC("iter/udp")
int end_udp(struct bpf_iter__udp *ctx)
{
	struct sock *sk = (struct sock *)ctx->udp_sk;
	if (!sk) return 0;
	struct connection *connection = bpf_sk_storage_get(&connections, sk, NULL, 0);
	if (!connection || !talks_to(&sk->__sk_common, connection) || is_served(connection)) return 0;
	__u8 ended = 1;
	if (bpf_sock_destroy((struct sock_common *)sk) == 0) bpf_seq_write(ctx->meta->seq, &ended, sizeof(ended));
	return 0;
}

char license_of_programs[] SEC("license") = "GPL";
