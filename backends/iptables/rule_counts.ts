import type { Family } from "../../core/net/protocol.ts";
import type { BackendMetric } from "../../core/backend/contract.ts";
import type { ServiceRules, TableName } from "./rules/layout.ts";

/** Numbers of rules by table. We have no rules in table mangle. */
export class RuleCounts {
  filter = 0;
  nat = 0;

  add(table: TableName, rules: number): void {
    if (table !== "mangle") this[table] += rules;
  }

  addAll(other: RuleCounts): void {
    this.filter += other.filter;
    this.nat += other.nat;
  }

  /** @param times -1 to subtract. */
  addService({ chains, shared }: ServiceRules, times: 1 | -1 = 1): void {
    for (const { table, rules } of chains) this.add(table, times * rules.length);
    for (const { chain } of shared) this.add(chain.table, times);
  }
}

/** kube-proxy's metrics of rules: docs/behaviour.md §8. */
export function ruleMetrics(
  families: readonly { readonly family: Family; readonly total: RuleCounts; readonly last: RuleCounts }[],
): readonly BackendMetric[] {
  const metric = (which: "total" | "last", help: string): BackendMetric => ({
    name: `sync_proxy_rules_iptables_${which}`,
    help,
    type: "gauge",
    labels: ["table", "ip_family"],
    samples: families.flatMap((counts) =>
      (["filter", "nat"] as const).map((table) => ({
        labels: [table, counts.family],
        value: counts[which][table],
      }))
    ),
  });
  return [
    metric("total", "Total number of iptables rules owned by kube-proxy"),
    metric("last", "Number of iptables rules written by kube-proxy in last sync"),
  ];
}
