import { quantile, query, type Row, series } from "./panel.ts";

const pending = `${series("kubeproxy_sync_proxy_rules_service_changes_pending")} + ${
  series("kubeproxy_sync_proxy_rules_endpoint_changes_pending")
}`;

export const overview: Row = {
  title: "Overview",
  panels: [
    {
      title: "Proxies down",
      description:
        "Scrapes that fail. A proxy that is down leaves its rules in force, but they do not follow changes.",
      kind: "stat",
      unit: "none",
      queries: [query("down", `sum(1 - ${series("up")})`)],
      limits: { critical: 1 },
    },
    {
      title: "Proxies with waiting changes",
      description:
        "Changes wait for milliseconds. A number that stays is a fault: see Changes that are not in force.",
      kind: "stat",
      unit: "none",
      queries: [query("waiting", `sum((${pending}) > bool 0)`)],
      limits: { warning: 1 },
    },
    {
      title: "Programming latency (p99)",
      description: "From the change of an endpoint in the cluster until it is in force, over all proxies.",
      kind: "stat",
      unit: "s",
      queries: [query("p99", quantile(0.99, "kubeproxy_network_programming_duration_seconds"))],
      limits: { warning: 10, critical: 30 },
    },
    {
      title: "Retries waiting",
      description:
        "What failed and will be tried again: syncs, service ports that the kernel rejects, watches, node ports.",
      kind: "stat",
      unit: "none",
      queries: [query("retries", `sum(${series("kubeproxy_retries_waiting")})`)],
      limits: { warning: 1 },
    },
    {
      title: "Fullest conntrack table",
      description:
        "Entries in relation to the limit. The kernel drops new connections of a node whose table is full.",
      kind: "stat",
      unit: "percentunit",
      queries: [query(
        "share",
        `max(${series("kubeproxy_conntrack_entries")} / (${
          series("kubeproxy_conntrack_entries_limit")
        } > 0))`,
      )],
      limits: { warning: 0.75, critical: 0.9 },
    },
    {
      title: "Service ports",
      description: "Service ports in force on a node. A port of a dual-stack Service counts twice.",
      kind: "stat",
      unit: "none",
      queries: [query("service ports", `max(${series("kubeproxy_service_ports")})`)],
    },
  ],
};
