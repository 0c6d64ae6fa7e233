/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Addresses of both families, in 16 bytes. */
#pragma once

#include <bpf/bpf_endian.h>
#include <linux/in6.h>
#include "maps.h"

static __always_inline struct address address_of_ipv4(__be32 address)
{
	return (struct address){ .word = { 0, 0, bpf_htonl(0xffff), address } };
}

static __always_inline struct address address_of_ipv6(const struct in6_addr *address)
{
	const __be32 *word = address->in6_u.u6_addr32;
	return (struct address){ .word = { word[0], word[1], word[2], word[3] } };
}

static __always_inline int same_address(const struct address *a, const struct address *b)
{
	return a->word[0] == b->word[0] && a->word[1] == b->word[1] && a->word[2] == b->word[2] &&
	       a->word[3] == b->word[3];
}

static __always_inline int is_ipv4_address(const struct address *address)
{
	return address->word[0] == 0 && address->word[1] == 0 && address->word[2] == bpf_htonl(0xffff);
}

/* 0.0.0.0 and ::. */
static __always_inline int is_unspecified(const struct address *address)
{
	return (is_ipv4_address(address) || (address->word[0] | address->word[1] | address->word[2]) == 0) &&
	       address->word[3] == 0;
}

/* 127.0.0.0/8 and ::1. */
static __always_inline int is_loopback(const struct address *address)
{
	if (is_ipv4_address(address)) return (address->word[3] & bpf_htonl(0xff000000)) == bpf_htonl(0x7f000000);
	return address->word[0] == 0 && address->word[1] == 0 && address->word[2] == 0 && address->word[3] == bpf_htonl(1);
}
