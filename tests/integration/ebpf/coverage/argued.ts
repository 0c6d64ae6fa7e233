import assert from "node:assert/strict";
import type { Outcome } from "./coverage.ts";

type Branch = readonly [of: string, condition: string, is: boolean];

/** Outcomes that no packet comes to, by why they are written all the same. */
const argued: Readonly<Record<string, readonly Branch[]>> = {
  "an entry of an array is always there, but the verifier does not know": [
    ["is_expired", "!settings", true],
    ["balance", "!settings", true],
    ["balance", "!claim", true],
    ["create_flow", "!settings", true],
    ["workspace_for", "!work", true],
    ["ingress", "!work", true],
    ["egress", "!work", true],
    ["count_drop", "count", false],
    ["search_slot", "!endpoint", true],
    ["choose_with", "!endpoint", true],
  ],
  "the verifier goes through the function once, for callers who pass NULL too": [
    ["read_packet", "!packet", true],
    ["is_expired", "!flow", true],
    ["delete_flow", "!tuple", true],
    ["delete_flow", "!flow", true],
    ["try_tuple", "!claim", true],
    ["find_service", "!frontend", true],
    ["find_service", "!service", true],
  ],
  "the bytes were read before, so the kernel has them again": [
    ["read_header", "bpf_skb_load_bytes(skb, offset, header, length) == 0", false],
    ["sum_of_quote", "bpf_skb_load_bytes(skb, check, &pseudo, sizeof(pseudo)) != 0", true],
    ["sum_of_quote", "bpf_skb_load_bytes(skb, packet->network, quote, beyond_first + 1) != 0", true],
    ["send_back", "bpf_skb_load_bytes(skb, 0, &link, sizeof(link)) != 0", true],
    ["reject_with_reset", "bpf_skb_load_bytes(skb, packet->transport, &segment, sizeof(segment)) != 0", true],
    ["write_reply_header", "bpf_skb_load_bytes(skb, field, &before, sizeof(before)) != 0", true],
  ],
  "the kernel changes bytes that it has read, unless it has no memory for a copy of what is shared": [
    ["forward_error", "translate_error(skb, error, quotation, error->time_to_live - hops) != 0", true],
    ["egress_error", "translate_error(skb, error, &work->quotation, error->time_to_live) != 0", true],
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
  "a map has room, unless the kernel has no memory": [
    ["create_flow", "bpf_map_update_elem(&conntrack, tuple, &claim->flow, BPF_ANY) != 0", true],
    ["count_connection", "traffic", false],
  ],
  "another processor is in between": [
    ["revisit_flows", "bpf_map_pop_elem(&revisits, &revisit) != 0", true],
    ["try_tuple", "insert_claim(claim)", false],
    ["try_tuple", "!holder", true],
    ["find_service", "attempt < READ_ATTEMPTS", false],
    ["find_service", "service->check == check_of(&key, service)", false],
  ],
  "with IPv4 options, all headers fit into a quote": [
    ["prepend_icmpv4", "sum < 0", true],
  ],
  "it is in the tuple under which the other one was found": [
    ["same_tuple", "a->protocol == b->protocol", false],
  ],
  "sockets only remember without a limit": [
    ["revalidate", "sticky->lifetime", false],
  ],
};

/** Every outcome is come to or argued, and none is both. */
export function assertAllTakenOrArgued(outcomes: readonly Outcome[]): void {
  const known = new Set(Object.values(argued).flat().map(nameOf));
  const never = outcomes.filter(({ times }) => times === 0).map(({ of, condition, is, place }) => ({
    name: nameOf([of, condition, is]),
    place,
  }));
  assert.deepEqual(
    never.filter(({ name }) => !known.has(name)).map(({ name, place }) => `${place}: ${name}`),
    [],
    "No packet of the tests comes to this.",
  );
  const named = new Set(never.map(({ name }) => name));
  assert.deepEqual(
    [...known].filter((name) => !named.has(name)),
    [],
    "This is argued, but there is no such branch, or packets come to it.",
  );
}

function nameOf([of, condition, is]: Branch): string {
  return `${of}: ${condition} ${is ? "never" : "always"} holds`;
}
