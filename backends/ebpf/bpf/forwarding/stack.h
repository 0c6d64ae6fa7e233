/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Packets that the stack forwards. They are translated in two steps: ingress replaces the addresses on which the stack
 * routes and filters, egress those that the stack must not see. In between, packets of either direction have the
 * addresses and ports of the client and of the endpoint, as in netfilter's FORWARD, so that rules, the check of the
 * source and policies work as with kube-proxy.
 */
#pragma once

#include "../flows/claim.h"
#include "workspace.h"

static __always_inline int is_through_stack(const struct flow *flow)
{
	struct settings *settings = settings_of_node();
	return flow->flags & FLOW_THROUGH_STACK || (settings && settings->flags & SETTING_THROUGH_STACK);
}

/* Sets the tuple in the stack of a packet that arrives with passage->arrived and leaves with `to`. */
static __always_inline void set_inner_tuple(struct passage *passage, const struct tuple *to)
{
	passage->inner = *to;
	passage->inner.source = passage->arrived.source;
	passage->inner.source_port = passage->arrived.source_port;
}

/*
 * Stores how a packet with the tuple `inner` arrived. If it leaves with this tuple, too, an entry is needed only to
 * replace that of another flow: a client may use one port for two services with the same endpoint.
 */
static __always_inline void store_passage(const struct tuple *inner, const struct tuple *arrived, int is_final)
{
	struct tuple *known = bpf_map_lookup_elem(&stack_tuples, inner);
	if (known ? same_tuple(known, arrived) : is_final) return;
	bpf_map_update_elem(&stack_tuples, inner, arrived, BPF_ANY);
}

/*
 * Prepares the passage of a packet that arrived with the tuple work->passage.arrived and leaves with work->to. The
 * passage of the other direction is prepared, too: netfilter may masquerade the packet on its way out, and then the
 * replies arrive with a tuple that only netfilter knows; and the stack may answer with an ICMP error.
 */
VERIFIED_ONCE int prepare_passage(void)
{
	struct workspace *work = current_workspace();
	if (!work) return 0;
	struct passage *passage = &work->passage;
	set_inner_tuple(passage, &work->to);
	store_passage(&passage->inner, &passage->arrived, same_tuple(&passage->inner, &work->to));
	passage->back_inner = reversed(&passage->inner);
	passage->back_arrived = reversed(&work->to);
	store_passage(&passage->back_inner, &passage->back_arrived, 0);
	return 0;
}

/*
 * Copies the flow of a packet with the tuple `inner` that the stack forwarded, and sets passage->arrived. Returns its
 * entry, to write to; NULL if the packet belongs to no flow.
 */
static __noinline struct flow *
flow_in_stack(struct passage *passage, const struct tuple *inner, struct flow *flow)
{
	struct tuple *arrived = bpf_map_lookup_elem(&stack_tuples, inner);
	if (!arrived) return NULL;
	/* A copy, because the kernel may give the entry to another flow at any time. */
	passage->arrived = *arrived;
	struct flow *entry = find_flow(&passage->arrived, flow);
	if (!entry) return NULL;
	set_inner_tuple(passage, &flow->translated);
	return same_tuple(&passage->inner, inner) ? entry : NULL;
}
