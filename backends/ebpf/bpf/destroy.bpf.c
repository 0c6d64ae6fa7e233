// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * Ends the sockets that stranded.h finds, and writes one byte per socket. A process that waits for a reply
 * gets ECONNABORTED, and one that sends a datagram EDESTADDRREQ. It opens a new socket, as after any other
 * failure.
 */
#include "sockets/stranded.h"

/* Since Linux 6.5, net/core/filter.c. */
extern int bpf_sock_destroy(struct sock_common *sk) __ksym;

static __always_inline void on_stranded(struct sock_common *sk, struct bpf_iter_meta *meta)
{
	__u8 ended = 1;
	if (bpf_sock_destroy(sk) == 0) bpf_seq_write(meta->seq, &ended, sizeof(ended));
}
