import assert from "node:assert/strict";
import type { Outcome } from "./coverage.ts";

type Branch = readonly [function: string, condition: string, is: boolean];

/** Outcomes that no case reaches, by the reason. */
const EXPLAINED: Readonly<Record<string, readonly Branch[]>> = {
  "an array always has the entry, but the verifier requires the check": [
    ["is_expired", "!settings", true],
    ["is_of_other_mode", "settings", false],
    ["handle_new_flow", "!settings", true],
    ["choose_way", "!settings", true],
    ["balance", "!settings", true],
    ["balance", "!claim", true],
    ["claim_reply_tuple", "!settings", true],
    ["claim_reply_tuple", "!claim", true],
    ["try_port", "!settings", true],
    ["try_port", "!claim", true],
    ["create_flow", "!claim", true],
    ["create_flow", "!prepare_reply(packet, to, service, flags)", true],
    ["prepare_reply", "!claim", true],
    ["insert_forward", "!claim", true],
    ["insert_claim", "!claim", true],
    ["delete_closed", "!claim", true],
    ["revisit_flows", "!claim", true],
    ["consider_victim", "!settings", true],
    ["consider_victim", "!claim", true],
    ["look_up_tuple", "!claim", true],
    ["insert_in_place", "!claim", true],
    ["assure", "!claim", true],
    ["restore_other_direction", "!claim", true],
    ["count_flow_event", "count", false],
    ["workspace_for", "!work", true],
    ["prepare_passage", "!work", true],
    ["is_through_stack", "settings", false],
    ["may_send_error", "!settings", true],
    ["is_source_uncertain", "!work", true],
    ["send_through_stack", "!work", true],
    ["masquerade", "!work", true],
    ["masquerade", "!settings", true],
    ["take_for_all", "!full", true],
    ["ingress", "!work", true],
    ["egress", "!work", true],
    ["count_drop", "count", false],
    ["search_slot", "!endpoint", true],
    ["choose_slot", "!endpoint", true],
  ],
  "the mode changes, as in mode_switch_test.ts": [
    ["handle_new_flow", "settings->flags & SETTING_LEAVE_NEW_FLOWS", true],
  ],
  "br_netfilter translates packets, as in same_port_test.ts": [
    ["ingress", "is_of_other_mode(skb)", true],
    ["is_of_other_mode", "is_translated_by_netfilter(skb)", true],
    ["is_translated_by_netfilter", "!entry", false],
  ],
  "the programs that are counted look up netfilter's flows": [
    ["claim_reply_tuple", "avoids_ports_of_clients(settings)", true],
  ],
  "the verifier checks a global function on its own, with arguments that may be NULL": [
    ["read_packet", "!packet", true],
    ["may_send_error", "!packet", true],
    ["reject_with_reset", "!packet", true],
    ["reject_with_icmp", "!packet", true],
    ["reject_with_icmp", "!error", true],
    ["common_bits", "!a", true],
    ["common_bits", "!b", true],
    ["common_bits", "!mask", true],
    ["is_expired", "!flow", true],
    ["delete_flow", "!tuple", true],
    ["delete_flow", "!flow", true],
    ["sum_of_tuple", "tuple", false],
    ["update_flow", "!packet", true],
    ["update_flow", "!entry", true],
    ["update_flow", "!flow", true],
    ["follow_opening", "!packet", true],
    ["follow_opening", "!entry", true],
    ["follow_opening", "!other", true],
    ["follow_opening", "!flow", true],
    ["follow_closing", "!packet", true],
    ["follow_closing", "!entry", true],
    ["follow_closing", "!other", true],
    ["follow_closing", "!flow", true],
    ["follow_other_connection", "!packet", true],
    ["follow_other_connection", "!entry", true],
    ["follow_other_connection", "!other", true],
    ["follow_other_connection", "!flow", true],
    ["has_connection", "!tuple", true],
    ["has_udp_socket", "!tuple", true],
    ["netfilter_knowledge", "!tuple", true],
    ["is_taken_by_others", "!tuple", true],
    ["find_service", "!frontend", true],
    ["count_refusal", "!service", true],
    ["count_refusal", "reason < REFUSAL_REASONS", false],
    ["find_service", "!service", true],
  ],
  "the same bytes were read before, so reading them again succeeds": [
    ["read_header", "bpf_skb_load_bytes(skb, offset, header, length) == 0", false],
    ["sum_of_quote", "bpf_skb_load_bytes(skb, check, &pseudo, sizeof(pseudo)) != 0", true],
    ["sum_of_quote", "bpf_skb_load_bytes(skb, packet->network, quote, beyond_first + 1) != 0", true],
    ["send_back", "bpf_skb_load_bytes(skb, 0, &link, sizeof(link)) != 0", true],
    ["reject_with_reset", "bpf_skb_load_bytes(skb, packet->transport, &segment, sizeof(segment)) != 0", true],
    ["write_reply_header", "bpf_skb_load_bytes(skb, field, &before, sizeof(before)) != 0", true],
  ],
  "writing bytes that were read fails only if the kernel has no memory to unshare the packet": [
    ["forward_error", "translate_error(skb, error, quotation, error->time_to_live - hops) != 0", true],
    ["egress_error", "translate_error(skb, error, quotation, error->time_to_live) == 0", false],
    [
      "forward_error_through_stack",
      "translate_error(skb, error, quotation, error->time_to_live) != 0",
      true,
    ],
    ["send", "translate(skb, packet, &work->to, packet->time_to_live - is_forwarded) != 0", true],
    ["send_through_stack", "translate(skb, packet, &passage->inner, packet->time_to_live) != 0", true],
    ["egress", "translate(skb, packet, &work->to, packet->time_to_live) == 0", false],
    ["leave_stack", "translate(skb, packet, &work->to, packet->time_to_live) != 0", true],
    ["translate_error", "restore_quote(skb, error, quotation) != 0", true],
    [
      "translate_error",
      "bpf_l4_csum_replace(skb, error->transport + offsetof(struct icmp_header, check), 0, address_difference(&error->tuple, &quotation->outer), BPF_F_PSEUDO_HDR) != 0",
      true,
    ],
    ["restore_quote", "restore_checksum(skb, check, quoted, to) != 0", true],
    ["restore_quote", "restore_ports(skb, check, quoted, to) != 0", true],
    ["restore_checksum", "bpf_l4_csum_replace(skb, check, old, new, sizeof(new)) != 0", true],
    ["restore_ports", "bpf_l4_csum_replace(skb, check, before, after, sizeof(after)) != 0", true],
    [
      "restore_addresses",
      "bpf_l4_csum_replace(skb, check, 0, address_difference(&quoted->tuple, to), 0) != 0",
      true,
    ],
    ["send_to_neighbour", "bpf_skb_change_head(skb, ETH_HLEN, 0) != 0", true],
    ["reject_with_icmp", "bpf_skb_change_tail(skb, end, 0) != 0", true],
    ["reject_with_reset", "bpf_skb_change_tail(skb, end, 0) != 0", true],
    [
      "reject_with_reset",
      "bpf_skb_store_bytes(skb, packet->transport, &reset, sizeof(reset), BPF_F_RECOMPUTE_CSUM) != 0",
      true,
    ],
    ["reject_with_reset", "write_reply_header(skb, packet, end - packet->network) != 0", true],
    ["write_reply_header", "rewrite_network(skb, packet, &back, REPLY_TIME_TO_LIVE) != 0", true],
    ["prepend_icmpv4", "bpf_skb_adjust_room(skb, sizeof(headers), BPF_ADJ_ROOM_MAC, 0) != 0", true],
    ["prepend_icmpv6", "bpf_skb_adjust_room(skb, sizeof(headers), BPF_ADJ_ROOM_MAC, 0) != 0", true],
    ["translate", "rewrite_network(skb, packet, to, time_to_live) != 0", true],
    [
      "rewrite_transport",
      "bpf_l4_csum_replace(skb, check, 0, address_difference(&packet->tuple, to), flags | BPF_F_PSEUDO_HDR) != 0",
      true,
    ],
    [
      "rewrite_transport",
      "bpf_l4_csum_replace(skb, check, before, after, flags | sizeof(after)) != 0",
      true,
    ],
  ],
  "the map has capacity, so an update fails only if the kernel has no memory": [
    ["create_flow", "!insert_forward(packet, to, skb->ifindex)", true],
    [
      "insert_forward",
      "bpf_map_update_elem(&conntrack_new, &claim->reply, &claim->flow, BPF_ANY) == 0",
      false,
    ],
    ["insert_forward", "assured_entry(&claim->reply)", false],
    ["count_connection", "traffic", false],
    ["count_refusal", "traffic", false],
  ],
  "only another CPU that runs at the same time causes it": [
    ["revisit_flows", "bpf_map_pop_elem(&revisits, revisit) != 0", true],
    ["delete_closed", "bpf_map_pop_elem(&closed_flows, revisit) != 0", true],
    ["find_flow", "attempt < FLOW_READ_ATTEMPTS", false],
    ["find_flow", "flow->check == check_of_flow(tuple, flow)", false],
    ["change_state", "is_of_flow(entry, flow)", false],
    ["has_lost_endpoint", "is_of_flow(entry, flow)", false],
    ["look_up_tuple", "is_of_flow(entry, holder)", false],
    ["follow_alone", "is_of_flow(entry, flow)", false],
    ["follow_other_connection", "!is_of_flow(entry, flow)", true],
    ["has_uncertain_source", "is_of_flow(entry, flow)", false],
    ["insert_claim", "bpf_map_update_elem(&conntrack, key, flow, BPF_NOEXIST) != 0", true],
    ["insert_claim", "bpf_map_update_elem(&conntrack_udp, key, flow, BPF_NOEXIST) != 0", true],
    ["insert_assured", "insert_claim()", false],
    ["insert_assured", "is_of_flow(assured_entry(&claim->reply), flow)", true],
    ["insert_assured", "is_of_flow(assured_entry(&claim->reply), flow)", false],
    ["insert_forward", "insert_claim()", false],
    ["insert_forward", "assured_entry(&claim->reply)", true],
    ["assure", "!is_moved", true],
    ["assure", "!insert_assured(claim, flow)", true],
    ["assure", "is_of_flow(entry, flow)", false],
    ["follow_tcp", "!is_of_flow(entry, flow)", true],
    ["follow_tcp_state", "!entry", true],
    ["follow_tcp_state", "!other", true],
    ["update_flow", "!is_of_flow(entry, flow)", true],
    ["try_tuple", "insert_in_place(victim)", false],
    ["insert_in_place", "find_flow(&claim->reply, &claim->holder)", false],
    ["insert_in_place", "claim->holder.born == claim->victim_born", false],
    ["find_service", "attempt < READ_ATTEMPTS", false],
    ["find_service", "service->check == check_of(&key, service)", false],
  ],
  "a test run cannot set tc_index, nor in a packet that arrives": [
    ["arrives_again", "!(bits & (TC_INDEX_TRANSLATED | TC_INDEX_AGAIN))", false],
    ["ingress", "arrives_again(skb)", true],
  ],
  "all headers fit into a quote of IPv4, even with options": [
    ["prepend_icmpv4", "sum < 0", true],
  ],
  "the protocol is part of the key that found the entry": [
    ["same_tuple", "a->protocol == b->protocol", false],
  ],
  "a random number is less than the number of ports": [
    ["random_port", "range < PORT_RANGES", false],
  ],
};

/** Outcomes that the cases reach in some runs only, because random source ports decide. */
const BY_CHANCE: readonly Branch[] = [
  ["insert_claim", "bpf_map_update_elem(&conntrack_new, key, flow, BPF_NOEXIST) != 0", true],
];

/** Checks that every outcome is either reached or explained, but not both. */
export function assertAllTakenOrExplained(outcomes: readonly Outcome[]): void {
  const known = new Set(Object.values(EXPLAINED).flat().map(nameOf));
  const byChance = new Set(BY_CHANCE.map(nameOf));
  const never = outcomes.filter(({ times }) => times === 0).map((
    { function: name, condition, is, place },
  ) => ({
    name: nameOf([name, condition, is]),
    place,
  })).filter(({ name }) => !byChance.has(name));
  assert.deepEqual(
    never.filter(({ name }) => !known.has(name)).map(({ name, place }) => `${place}: ${name}`),
    [],
    "No case reaches these outcomes.",
  );
  const named = new Set(never.map(({ name }) => name));
  assert.deepEqual(
    [...known].filter((name) => !named.has(name)),
    [],
    "These outcomes are explained, but do not exist or are reached.",
  );
}

function nameOf([name, condition, is]: Branch): string {
  return `${name}: ${condition} ${is ? "never" : "always"} holds`;
}
