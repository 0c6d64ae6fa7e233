// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * Load balancing for packets that come to this node, from outside and from pods whose sockets are out of reach of
 * sock.bpf.c. What arrives for a service is given an endpoint, translated and sent on, and so are the answers, by
 * whatever device they arrive: netfilter sees none of it. Only what an endpoint on the node itself answers passes the
 * stack, and is translated where it leaves.
 */
#include "connect.h"
#include "fragments.h"

static __always_inline void count_packet(struct __sk_buff *skb, const struct packet *packet, const struct flow *flow)
{
	struct traffic *traffic = traffic_of(flow->service);
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

/* Everything that a packet changes in what is remembered. */
static __noinline int note(struct __sk_buff *skb, const struct packet *packet, struct flow *flow)
{
	follow(packet, flow);
	count_packet(skb, packet, flow);
	if (packet->is_first_fragment) remember_ports(packet);
	return 0;
}

/* ---- the first packet ---- */

/*
 * A client calls an endpoint itself, from the port of a connection it had with it through a service. What the endpoint
 * answers would be taken for an answer to that one.
 */
static __always_inline void forget_closed_flow(const struct packet *packet)
{
	if ((packet->tcp_flags & (TCP_SYN | TCP_ACK)) != TCP_SYN) return;
	struct tuple answer = reversed(&packet->tuple);
	struct flow *flow = flow_of(&answer);
	if (flow && is_closed(flow)) forget(&answer, flow);
}

static __noinline int
refuse_unknown(struct __sk_buff *skb, struct workspace *work, const struct frontend *frontend)
{
	int verdict = verdict_without_service(frontend, &work->service);
	if (verdict < 0) return PASS_ON;
	count_drop(DROP_NO_SERVICE);
	return verdict == VERDICT_REJECT ? refuse_connection(skb, &work->packet) : TC_ACT_SHOT;
}

/* Sends it to an endpoint of the service, and remembers to which. */
static __noinline int connect(struct __sk_buff *skb, struct workspace *work, __u32 flags)
{
	struct settings *settings = settings_of_node();
	struct claim *claim = claim_of_new_flow();
	if (!settings || !claim) return PASS_ON;
	const struct service *service = &work->service;
	struct packet *packet = &work->packet;
	struct tuple *to = &work->to;

	struct endpoint endpoint;
	enum origin origin = origin_of(skb, packet, settings);
	if (!choose_endpoint(service, origin, &packet->tuple, &endpoint)) return drop(DROP_NO_LOCAL_ENDPOINTS);

	*to = packet->tuple;
	to->destination = endpoint.address;
	to->destination_port = endpoint.port;
	int is_hidden = is_masqueraded(service, origin, settings, to);
	enum reach reach = find_route(skb, packet, to, &work->route);
	if (reach == REACH_STACK && is_hidden) reach = REACH_NOWHERE;
	if (reach == REACH_NOWHERE || reach == REACH_TOO_BIG) return send(skb, packet, to, reach, &work->route);

	/* First, for the room it makes; and from here, for the stack has none for it further down. */
	revisit_some(coarse_time());

	if (is_hidden) to->source = source_at(work->route.ifindex, packet->family, settings);
	if (reach == REACH_STACK) flags |= FLOW_TO_NODE;
	int failure = begin_flow(claim, &packet->tuple, to, service, flags);
	if (failure) return drop(failure);
	count_connection(service->id);
	note(skb, packet, &claim->flow);
	return send(skb, packet, to, reach, &work->route);
}

static __always_inline int begin(struct __sk_buff *skb, struct workspace *work)
{
	struct packet *packet = &work->packet;
	struct frontend frontend = {
		.address = packet->tuple.destination,
		.port = packet->tuple.destination_port,
		.protocol = packet->tuple.protocol,
	};
	__u32 flags = 0;
	struct service *service = &work->service;
	int is_found = find_service(&frontend, service);
	if (!is_found && !is_loopback(&frontend.address)) {
		is_found = find_node_port(&frontend, service);
		flags = FLOW_NODE_PORT;
	}
	/* A reset begins nothing. */
	if (packet->tcp_flags & TCP_RST || is_martian(&packet->tuple.source)) return PASS_ON;
	if (!is_found) {
		forget_closed_flow(packet);
		return refuse_unknown(skb, work, &frontend);
	}

	if (service->flags & SERVICE_SOURCE_RANGES && !may_use(service->id, &packet->tuple.source))
		return drop(DROP_SOURCE_RANGE);
	if (service->verdict == VERDICT_DROP) return drop(DROP_NO_LOCAL_ENDPOINTS);
	if (service->verdict == VERDICT_REJECT) {
		count_drop(DROP_NO_ENDPOINTS);
		return refuse_connection(skb, packet);
	}
	return connect(skb, work, flags);
}

/* ---- the others ---- */

/* UDP knows no end of a connection: its endpoint has to be asked for (docs/behaviour.md §6). */
static __noinline int has_lost_endpoint(const struct tuple *tuple, struct flow *flow)
{
	if (tuple->protocol != IPPROTO_UDP || flow->flags & FLOW_REPLY) return 0;
	struct frontend frontend = {
		.address = tuple->destination,
		.port = tuple->destination_port,
		.protocol = tuple->protocol,
	};
	struct service service = {};
	int is_found = flow->flags & FLOW_NODE_PORT ? find_node_port(&frontend, &service) :
						      find_service(&frontend, &service);
	if (!is_found || service.id != flow->service) return 1;
	if (service.generation == flow->generation) return 0;
	struct choice wanted = {
		.address = flow->translated.destination,
		.port = flow->translated.destination_port,
	};
	if (!has_endpoint(&service.serving, &wanted)) return 1;
	flow->generation = service.generation;
	return 0;
}

/* The flow that the packet belongs to; NULL when it begins one. */
static __always_inline struct flow *current_flow(const struct packet *packet)
{
	struct flow *flow = flow_of(&packet->tuple);
	if (!flow) return NULL;
	if (!is_begun_anew(packet, flow) && !is_over(flow, coarse_time()) && !has_lost_endpoint(&packet->tuple, flow))
		return flow;
	forget(&packet->tuple, flow);
	return NULL;
}

static __noinline int carry(struct __sk_buff *skb, struct workspace *work, struct flow *flow)
{
	/* Not where it is: the entry may go to another flow any time. */
	work->to = flow->translated;
	note(skb, &work->packet, flow);
	enum reach reach = find_route(skb, &work->packet, &work->to, &work->route);
	return send(skb, &work->packet, &work->to, reach, &work->route);
}

static __noinline int carry_error(struct __sk_buff *skb, struct workspace *work)
{
	struct packet *error = &work->packet;
	struct quotation *quotation = &work->quotation;
	if (!read_quotation(skb, error, quotation)) return PASS_ON;
	enum reach reach = find_route(skb, error, &quotation->way, &work->route);
	/* No error is answered by an error. */
	if (reach == REACH_NOWHERE || reach == REACH_TOO_BIG || error->time_to_live <= LAST_HOP)
		return drop(DROP_NO_ROUTE);
	__u8 hops = reach == REACH_NEIGHBOUR ? 1 : 0;
	if (translate_error(skb, error, quotation, error->time_to_live - hops) != 0) return drop(DROP_MALFORMED);
	return reach == REACH_STACK ? PASS_ON : send_to_neighbour(skb, error, &work->route);
}

/*
 * Other devices of the node get these: of frames that a bridge passes on, its own gets those for the node, and of a
 * VLAN, whose tag the kernel has put aside by now, the VLAN's. VLAN 0 is none, but a priority.
 */
static __always_inline int is_for_another_device(struct __sk_buff *skb)
{
	return skb->pkt_type != PACKET_HOST || (skb->vlan_present && skb->vlan_tci & VLAN_VID_MASK);
}

/* A fragment whose first one was not seen. Where all ports of its address are services', nobody else can use it. */
static __noinline int stray_fragment(struct workspace *work)
{
	struct frontend frontend = { .address = work->packet.tuple.destination };
	return verdict_without_service(&frontend, &work->service) < 0 ? PASS_ON : drop(DROP_FRAGMENT);
}

static __always_inline int ingress(struct __sk_buff *skb, __u32 link_header)
{
	if (is_for_another_device(skb)) return PASS_ON;
	struct workspace *work = workspace_for(link_header);
	if (!work) return PASS_ON;
	struct packet *packet = &work->packet;
	enum packet_kind kind = read_packet(skb, packet);
	if (kind == PACKET_ICMP_ERROR) return carry_error(skb, work);
	if (kind == PACKET_OTHER) return PASS_ON;
	if (kind == PACKET_LATER_FRAGMENT && !recall_ports(packet)) return stray_fragment(work);

	struct flow *flow = current_flow(packet);
	if (flow) return carry(skb, work, flow);
	return kind == PACKET_TRANSPORT ? begin(skb, work) : PASS_ON;
}

/* ---- answers of endpoints on the node itself ---- */

static __always_inline int is_answer_of_node(const struct flow *flow)
{
	const __u32 flags = FLOW_REPLY | FLOW_TO_NODE;
	return flow && (flow->flags & flags) == flags;
}

static __noinline int egress_error(struct __sk_buff *skb, struct workspace *work)
{
	struct packet *error = &work->packet;
	struct flow *flow = read_quotation(skb, error, &work->quotation);
	if (!is_answer_of_node(flow)) return PASS_ON;
	if (translate_error(skb, error, &work->quotation, error->time_to_live) != 0) return drop(DROP_MALFORMED);
	return PASS_ON;
}

static __always_inline int egress(struct __sk_buff *skb, __u32 link_header)
{
	struct workspace *work = workspace_for(link_header);
	if (!work) return PASS_ON;
	struct packet *packet = &work->packet;
	enum packet_kind kind = read_packet(skb, packet);
	if (kind == PACKET_ICMP_ERROR) return egress_error(skb, work);
	if (kind == PACKET_OTHER || (kind == PACKET_LATER_FRAGMENT && !recall_ports(packet))) return PASS_ON;

	struct flow *flow = flow_of(&packet->tuple);
	if (!is_answer_of_node(flow)) return PASS_ON;
	work->to = flow->translated;
	note(skb, packet, flow);
	return translate(skb, packet, &work->to, packet->time_to_live) == 0 ? PASS_ON : drop(DROP_MALFORMED);
}

/* ---- what is attached: to devices with Ethernet headers, and to those without any ---- */

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

/* As in sock.bpf.c. */
char license_of_programs[] SEC("license") = "GPL";
