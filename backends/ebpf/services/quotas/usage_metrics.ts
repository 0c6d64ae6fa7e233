import type { BackendMetric } from "../../../../core/backend/contract.ts";
import type { SlotUsage } from "../allocation.ts";
import type { Quota } from "./quota.ts";
import type { Admission } from "./admission.ts";

/** @param withoutTables number of service ports that ask for tables, but have plain lists. */
export function usageMetrics(
  { quotas: { frontends, sourceRanges, slots } }: Admission,
  { capacity, lists, tables }: SlotUsage,
  withoutTables: number,
): readonly BackendMetric[] {
  return [
    {
      name: "ebpf_frontends",
      help: "Entries for addresses and ports of services, by use: used or free.",
      type: "gauge",
      labels: ["use"],
      samples: usesOf(frontends),
    },
    {
      name: "ebpf_source_ranges",
      help: "Entries for loadBalancerSourceRanges, by use: used or free.",
      type: "gauge",
      labels: ["use"],
      samples: usesOf(sourceRanges),
    },
    {
      name: "ebpf_endpoint_slots",
      help: "Slots for endpoints, by use: plain lists, tables of Maglev and of weights, or free.",
      type: "gauge",
      labels: ["use"],
      samples: [
        { labels: ["list"], value: lists },
        { labels: ["table"], value: tables },
        { labels: ["free"], value: capacity - lists - tables },
      ],
    },
    {
      name: "ebpf_largest_namespace_entries",
      help: "Entries that the namespace with most of them has, by resource.",
      type: "gauge",
      labels: ["resource"],
      samples: [
        { labels: ["frontends"], value: frontends.largest.used },
        { labels: ["source_ranges"], value: sourceRanges.largest.used },
        { labels: ["endpoint_slots"], value: slots.largest.used },
      ],
    },
    {
      name: "ebpf_services_without_tables",
      help:
        "Service ports that are balanced at random, because there is no room for the tables they ask for.",
      type: "gauge",
      labels: [],
      samples: [{ labels: [], value: withoutTables }],
    },
  ];
}

function usesOf({ used, free }: Quota): BackendMetric["samples"] {
  return [{ labels: ["used"], value: used }, { labels: ["free"], value: free }];
}
