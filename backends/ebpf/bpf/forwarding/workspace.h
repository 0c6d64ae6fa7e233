/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Memory of a program run. */
#pragma once

#include "../errors/icmp.h"

/* The tuples of a packet that the stack forwards: see `stack_tuples`. */
struct passage {
	struct tuple arrived;
	struct tuple inner; /* between ingress and egress */
	struct tuple back_arrived; /* those of the replies */
	struct tuple back_inner;
};

/* Data too large for the stack. A CPU handles one packet at a time, so there is one per CPU. */
struct workspace {
	struct packet packet;
	struct flow flow; /* copy of the flow of the packet */
	struct tuple to; /* the translated tuple */
	struct service service;
	struct bpf_fib_lookup route;
	struct bpf_fib_lookup route_back; /* to the source */
	struct quotation quotation;
	struct passage passage;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct workspace);
} workspaces SEC(".maps");

static __always_inline struct workspace *current_workspace(void)
{
	__u32 only = 0;
	return bpf_map_lookup_elem(&workspaces, &only);
}

/* Returns the workspace, prepared for a packet whose IP header is at offset `network`. */
static __always_inline struct workspace *workspace_for(__u32 network)
{
	struct workspace *work = current_workspace();
	if (!work) return NULL;
	__builtin_memset(&work->packet, 0, sizeof(work->packet));
	work->packet.network = network;
	return work;
}
