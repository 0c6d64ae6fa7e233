// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * Writes the ids of the sockets that stranded.h finds, for kernels before Linux 6.5, on which sock_diag ends
 * them.
 */
#include <linux/inet_diag.h>
#include "sockets/stranded.h"

struct found {
	__u32 family;
	struct inet_diag_sockid id;
};

static __always_inline void on_stranded(struct sock_common *sk, struct bpf_iter_meta *meta)
{
	__u64 cookie = bpf_get_socket_cookie(sk);
	struct found found = {
		.family = sk->skc_family,
		.id = {
			.idiag_sport = bpf_htons(sk->skc_num),
			.idiag_dport = sk->skc_dport,
			.idiag_if = sk->skc_bound_dev_if,
			.idiag_cookie = { cookie, cookie >> 32 },
		},
	};
	if (found.family == AF_INET6) {
		struct address source = address_of_ipv6(&sk->skc_v6_rcv_saddr);
		struct address destination = address_of_ipv6(&sk->skc_v6_daddr);
		__builtin_memcpy(found.id.idiag_src, &source, sizeof(source));
		__builtin_memcpy(found.id.idiag_dst, &destination, sizeof(destination));
	} else {
		found.id.idiag_src[0] = sk->skc_rcv_saddr;
		found.id.idiag_dst[0] = sk->skc_daddr;
	}
	bpf_seq_write(meta->seq, &found, sizeof(found));
}
