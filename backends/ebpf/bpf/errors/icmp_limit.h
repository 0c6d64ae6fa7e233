/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Limits of the ICMP errors that the programs send, so that the node reflects no flood: for one source and for all
 * together, as the kernel limits its own errors. Resets need no limit, because they are not larger than their cause.
 */
#pragma once

#include "../flows/conntrack.h"

/* Errors that one source gets at once: XRLIM_BURST_FACTOR, net/ipv4/icmp.c */
#define SOURCE_BURST 6
#define MILLISECONDS 1000000ULL

/*
 * Takes one error from a bucket. `full` is the time at which the bucket will be full again: each error moves it on by
 * `interval`. Of two CPUs at the same time, one gets nothing.
 */
static __always_inline int take_one(__u64 *full, __u64 now, __u64 interval, __u64 burst)
{
	__u64 before = *full;
	__u64 start = (__s64)(before - now) > 0 ? before : now;
	if (start - now > (burst - 1) * interval) return 0;
	return __sync_val_compare_and_swap(full, before, start + interval) == before;
}

static __always_inline int take_for_source(const struct packet *packet, __u64 now, __u64 interval)
{
	struct address source = packet->tuple.source;
	/* A host has a /64 to itself. */
	if (packet->family == AF_INET6) source.word[2] = source.word[3] = 0;
	__u64 *full = bpf_map_lookup_elem(&icmp_limits, &source);
	if (full) return take_one(full, now, interval, SOURCE_BURST);
	__u64 first = now + interval;
	bpf_map_update_elem(&icmp_limits, &source, &first, BPF_ANY);
	return 1;
}

static __always_inline int take_for_all(const struct settings *settings, __u64 now)
{
	__u32 only = 0;
	__u64 *full = bpf_map_lookup_elem(&icmp_limit, &only);
	if (!full || settings->icmp_per_second == 0 || settings->icmp_burst == 0) return 0;
	return take_one(full, now, NANOSECONDS / settings->icmp_per_second, settings->icmp_burst);
}

/* Reports whether an error about this packet is within the limits. */
VERIFIED_ONCE int may_send_error(const struct packet *packet)
{
	struct settings *settings = settings_of_node();
	if (!packet || !settings) return 0;
	__u64 now = coarse_time();
	__u32 interval = packet->family == AF_INET ? settings->icmp_interval_ms : settings->icmpv6_interval_ms;
	if (interval != 0 && !take_for_source(packet, now, interval * MILLISECONDS)) return 0;
	return take_for_all(settings, now);
}
