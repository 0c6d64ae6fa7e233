/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Sequence numbers of TCP. */
#pragma once

#include "conntrack.h"

/*
 * The most that a packet may be ahead of those seen before. Greater leaps are packets of another connection or
 * forged ones; a hole of lost packets is filled by retransmissions, which are not.
 */
#define MAX_ADVANCE (1 << 20)
/* Distance from the expected numbers at which a FIN still counts, because packets overtake each other. */
#define MAX_DISTANCE (1 << 16)

/* Reports whether sequence number `a` is behind `b`. */
static __always_inline int is_after(__u32 a, __u32 b)
{
	return (__s32)(a - b) > 0;
}

/* Reports whether two numbers are at most MAX_DISTANCE apart. */
static __always_inline int is_near(__u32 a, __u32 b)
{
	return a - b + MAX_DISTANCE <= 2 * MAX_DISTANCE;
}

static __always_inline void advance(__u32 *number, __u32 to)
{
	if (to - *number - 1 < MAX_ADVANCE) *number = to;
}

/* The sequence number behind everything that a direction is known to have sent. */
static __always_inline __u32 latest_of(__u32 end, __u32 acked)
{
	return is_after(acked, end) ? acked : end;
}
