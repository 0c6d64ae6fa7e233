/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Traffic of services: packets, bytes, and the connections in which they are. */
#pragma once

#include "flow_table.h"

static __always_inline __u32 counters_of_flow(const struct flow *flow)
{
	return counters_key(flow->service, flow->flags / FLOW_KIND % FRONTEND_KINDS);
}

static __always_inline void
count_packet(struct __sk_buff *skb, const struct packet *packet, const struct flow *flow, struct traffic *traffic)
{
	if (!traffic) return;
	__u32 packets = skb->gso_segs ? skb->gso_segs : 1;
	__u32 bytes = packet->end - packet->network;
	if (flow->flags & FLOW_REPLY) {
		traffic->packets_in += packets;
		traffic->bytes_in += bytes;
	} else {
		traffic->packets_out += packets;
		traffic->bytes_out += bytes;
	}
}
