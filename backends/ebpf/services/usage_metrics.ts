import type { BackendMetric } from "../../../core/backend/contract.ts";
import type { SlotUsage } from "./allocation.ts";

/** @param withoutTables number of service ports that ask for tables, but have plain lists. */
export function usageMetrics(
  { capacity, lists, tables }: SlotUsage,
  withoutTables: number,
): readonly BackendMetric[] {
  return [
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
      name: "ebpf_services_without_tables",
      help:
        "Service ports that are balanced at random, because there is no room for the tables they ask for.",
      type: "gauge",
      labels: [],
      samples: [{ labels: [], value: withoutTables }],
    },
  ];
}
