// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * Load balancing of packets that arrive at this node, from outside and from pods whose sockets sock.bpf.c
 * does not cover. Packets for a service get an endpoint, and are translated and forwarded. So are the
 * replies, on whatever device they arrive. Netfilter sees neither. Only replies of an endpoint on the node
 * itself pass the stack; they are translated at egress.
 */
#include "balancing/new_flow.h"
#include "flows/lost_endpoint.h"

/* Updates all state that a packet of a flow changes. `flow` is a copy of `entry`. */
static __always_inline int track(struct __sk_buff *skb, const struct packet *packet, struct flow *entry, struct flow *flow)
{
	update_flow(packet, entry, flow);
	count_packet(skb, packet, flow, traffic_of(counters_of_flow(flow)));
	return 0;
}

/* ---- later packets ---- */

/*
 * Copies the flow of a packet. Returns its entry, to write to; NULL if there is no flow or the packet starts a new
 * one.
 */
static __always_inline struct flow *current_flow(const struct packet *packet, struct flow *flow)
{
	const struct tuple *tuple = &packet->tuple;
	struct flow *entry = find_flow(tuple, flow);
	if (!entry) return NULL;
	if (!is_reopened(packet, flow) && !is_expired(flow, packet->arrival) && !has_lost_endpoint(packet, entry, flow))
		return entry;
	delete_flow(tuple, flow);
	return NULL;
}

/*
 * Reports whether a packet of a flow arrives at another device than the flow's earlier ones in its direction, which may
 * not have its source. Somebody may have forged it.
 */
static __always_inline int has_uncertain_source(struct __sk_buff *skb, struct flow *entry, const struct flow *flow)
{
	__u32 device = skb->ifindex;
	if (flow->device == device) return 0;
	if (is_source_uncertain(skb)) return 1;
	if (is_of_flow(entry, flow)) entry->device = device;
	return 0;
}

/* Reports whether the packets go to an endpoint on the node itself. The stack does not forward them, and checks their source. */
static __always_inline int is_for_node(const struct flow *flow)
{
	return (flow->flags & (FLOW_REPLY | FLOW_TO_NODE)) == FLOW_TO_NODE;
}

static __noinline int forward(struct __sk_buff *skb, struct workspace *work, struct flow *entry)
{
	struct flow *flow = &work->flow;
	enum next_hop next_hop;
	work->to = flow->translated;
	if (is_for_node(flow)) next_hop = NEXT_HOP_STACK;
	else if (is_through_stack(flow) || has_uncertain_source(skb, entry, flow)) next_hop = NEXT_HOP_FORWARD;
	else next_hop = find_route(skb, &work->packet, &work->to, &work->route);
	if (work->packet.is_first_fragment) store_ports(&work->packet, ARRIVING);
	/* Egress tracks replies that the stack forwards, because netfilter's rules may drop them, or masquerade them. */
	if (next_hop != NEXT_HOP_FORWARD || !(flow->flags & FLOW_REPLY)) track(skb, &work->packet, entry, flow);
	return send(skb, work, next_hop, !(flow->flags & FLOW_REPLY));
}

/* Passes an error to the stack, with the tuple that the quoted packet has or would have there. */
static __noinline int forward_error_through_stack(struct __sk_buff *skb, struct workspace *work, const struct flow *flow)
{
	struct packet *error = &work->packet;
	struct quotation *quotation = &work->quotation;
	struct passage *passage = &work->passage;
	passage->arrived = reversed(&quotation->packet.tuple);
	work->to = flow->translated;
	prepare_passage();
	quotation->original = reversed(&passage->inner);
	quotation->outer.source = error->tuple.source;
	if (translate_error(skb, error, quotation, error->time_to_live) != 0) return drop(DROP_MALFORMED);
	return pass_to_stack(skb);
}

static __noinline int forward_error(struct __sk_buff *skb, struct workspace *work)
{
	struct packet *error = &work->packet;
	struct quotation *quotation = &work->quotation;
	if (!read_quotation(skb, error, quotation)) return PASS_ON;
	struct tuple reply = reversed(&quotation->packet.tuple);
	struct flow *flow = &work->flow;
	if (!find_flow(&reply, flow)) return PASS_ON;
	set_original(quotation, error, flow);
	enum next_hop next_hop;
	if (is_for_node(flow)) next_hop = NEXT_HOP_STACK;
	else if (is_through_stack(flow) || is_source_uncertain(skb)) next_hop = NEXT_HOP_FORWARD;
	else next_hop = find_route(skb, error, &quotation->outer, &work->route);
	if (next_hop == NEXT_HOP_FORWARD) return forward_error_through_stack(skb, work, flow);
	__u8 hops = next_hop == NEXT_HOP_NEIGHBOUR ? 1 : 0;
	/* No error is sent about an error. */
	if (next_hop == NEXT_HOP_NONE || next_hop == NEXT_HOP_TOO_BIG) return drop(DROP_NO_ROUTE);
	if (hops && error->time_to_live <= LAST_HOP_TTL) return drop(DROP_NO_ROUTE);
	if (translate_error(skb, error, quotation, error->time_to_live - hops) != 0) return drop(DROP_MALFORMED);
	return next_hop == NEXT_HOP_STACK ? PASS_ON : send_to_neighbour(skb, error, &work->route, 0);
}

/*
 * Reports whether another device of the node gets this packet: the bridge's own device gets the frames for
 * the node among those that a bridge forwards, and the VLAN's device gets frames with a VLAN tag, which the
 * kernel has removed from the frame by now. VLAN 0 is not a VLAN, but only a priority.
 */
static __always_inline int is_for_another_device(struct __sk_buff *skb)
{
	return skb->pkt_type != PACKET_HOST || (skb->vlan_present && skb->vlan_tci & VLAN_VID_MASK);
}

/*
 * Handles a later fragment of no known flow. It is dropped if only services answer on its address.
 */
static __noinline int handle_unmatched_fragment(struct workspace *work)
{
	struct frontend frontend = { .address = work->packet.tuple.destination };
	return verdict_without_service(&frontend, &work->service) < 0 ? PASS_ON : drop(DROP_FRAGMENT);
}

/* Reports whether ingress has translated the packet already. Clears the bits that only say this. */
static __always_inline int arrives_again(struct __sk_buff *skb)
{
	__u32 bits = skb->tc_index;
	if (!(bits & (TC_INDEX_TRANSLATED | TC_INDEX_AGAIN))) return 0;
	skb->tc_index = bits & ~(TC_INDEX_TRANSLATED | TC_INDEX_AGAIN);
	return !!(bits & TC_INDEX_AGAIN);
}

/* Reports whether a packet that has the tuple of a flow belongs to one that netfilter translates, for another mode. */
static __always_inline int is_of_other_mode(struct __sk_buff *skb)
{
	const __u32 has_other_mode = SETTING_FORMER_FLOWS | SETTING_LEAVE_NEW_FLOWS;
	struct settings *settings = settings_of_node();
	return settings && settings->flags & has_other_mode && is_translated_by_netfilter(skb);
}

static __always_inline int ingress(struct __sk_buff *skb, __u32 link_header)
{
	if (arrives_again(skb)) return PASS_ON;
	if (is_for_another_device(skb)) return PASS_ON;
	struct workspace *work = workspace_for(link_header);
	if (!work) return PASS_ON;
	struct packet *packet = &work->packet;
	enum packet_kind kind = read_packet(skb, packet);
	packet->arrival = coarse_time();
	if (packet->is_first_fragment) forget_ports(packet, ARRIVING);
	if (kind == PACKET_ICMP_ERROR) return forward_error(skb, work);
	if (kind == PACKET_OTHER) return PASS_ON;

	int has_tuple = kind == PACKET_TRANSPORT || lookup_ports(packet, ARRIVING);
	struct flow *entry = has_tuple ? current_flow(packet, &work->flow) : NULL;
	if (entry && is_of_other_mode(skb)) return PASS_ON;
	if (entry) return forward(skb, work, entry);
	return kind == PACKET_TRANSPORT ? handle_new_flow(skb, work) : handle_unmatched_fragment(work);
}

/* ---- replies of endpoints on the node itself ---- */

static __always_inline int is_reply_of_node(const struct flow *flow)
{
	const __u32 flags = FLOW_REPLY | FLOW_TO_NODE;
	return (flow->flags & flags) == flags;
}

static __noinline int egress_error(struct __sk_buff *skb, struct workspace *work)
{
	struct packet *error = &work->packet;
	struct quotation *quotation = &work->quotation;
	if (!read_quotation(skb, error, quotation)) return PASS_ON;
	struct tuple reply = reversed(&quotation->packet.tuple);
	struct flow *flow = &work->flow;
	if ((!find_flow(&reply, flow) || !is_reply_of_node(flow)) && !flow_in_stack(&work->passage, &reply, flow))
		return PASS_ON;
	set_original(quotation, error, flow);
	return translate_error(skb, error, quotation, error->time_to_live) == 0 ? PASS_ON : drop(DROP_MALFORMED);
}

/* ---- packets that the stack forwarded ---- */

static __noinline int leave_stack(struct __sk_buff *skb, struct workspace *work, struct flow *entry)
{
	struct packet *packet = &work->packet;
	struct flow *flow = &work->flow;
	work->to = flow->translated;
	/* With the tuple of its later fragments, if the stack has not put them together. */
	if (packet->is_first_fragment) store_ports(packet, LEAVING);
	if (translate(skb, packet, &work->to, packet->time_to_live) != 0) return drop(DROP_MALFORMED);
	packet->tuple = work->passage.arrived;
	if (flow->flags & FLOW_REPLY) track(skb, packet, entry, flow);
	return PASS_ON;
}

static __always_inline int egress(struct __sk_buff *skb, __u32 link_header)
{
	if (skb->tc_index & TC_INDEX_TRANSLATED) return PASS_ON;
	struct workspace *work = workspace_for(link_header);
	if (!work) return PASS_ON;
	struct packet *packet = &work->packet;
	enum packet_kind kind = read_packet(skb, packet);
	packet->arrival = coarse_time();
	if (packet->is_first_fragment) forget_ports(packet, LEAVING);
	if (kind == PACKET_ICMP_ERROR) return egress_error(skb, work);
	if (kind == PACKET_OTHER || (kind == PACKET_LATER_FRAGMENT && !lookup_ports(packet, LEAVING))) return PASS_ON;

	struct flow *entry = find_flow(&packet->tuple, &work->flow);
	if (!entry || !is_reply_of_node(&work->flow)) {
		entry = flow_in_stack(&work->passage, &packet->tuple, &work->flow);
		if (entry) return leave_stack(skb, work, entry);
		if (kind == PACKET_TRANSPORT) note_packet_of_node(skb, packet, &work->flow);
		return PASS_ON;
	}
	work->to = work->flow.translated;
	if (packet->is_first_fragment) store_ports(packet, LEAVING);
	track(skb, packet, entry, &work->flow);
	return translate(skb, packet, &work->to, packet->time_to_live) == 0 ? PASS_ON : drop(DROP_MALFORMED);
}

/* ---- the attached programs: l2 for devices with Ethernet headers, l3 for those without ---- */

SEC("tc")
int ingress_l2(struct __sk_buff *skb)
{
	return ingress(skb, ETH_HLEN);
}

SEC("tc")
int ingress_l3(struct __sk_buff *skb)
{
	return ingress(skb, 0);
}

SEC("tc")
int egress_l2(struct __sk_buff *skb)
{
	return egress(skb, ETH_HLEN);
}

SEC("tc")
int egress_l3(struct __sk_buff *skb)
{
	return egress(skb, 0);
}

/* GPL, as in sock.bpf.c. */
char license_of_programs[] SEC("license") = "GPL";
