import { increase, quantile, query, rate, type Row, series } from "./panel.ts";

export const foreignChanges: Row = {
  title: "Other programs and conflicts",
  panels: [
    {
      title: "Repairs",
      description:
        "Repairs of changes that another program made to our rules. A firewall that is reloaded causes one.",
      kind: "plot",
      unit: "none",
      queries: [query("{{program}}, {{instance}}", increase("instance, program", "kubeproxy_repairs_total"))],
    },
    {
      title: "Full syncs",
      description:
        "Full syncs by reason. Without foreign changes there is one at the start and one per hour.",
      kind: "plot",
      unit: "none",
      queries: [query("{{reason}}", increase("reason", "kubeproxy_full_syncs_total"))],
    },
    {
      title: "Frontends in conflict, services without local endpoints",
      description:
        "Frontends that a Service claims and another one has; service ports with policy Local whose traffic is " +
        "dropped, because the node has no endpoint of them.",
      kind: "plot",
      unit: "none",
      queries: [
        query("conflicts", `max(${series("kubeproxy_sync_proxy_rules_frontend_conflicts")})`),
        query(
          "{{traffic_policy}} Local, {{instance}}",
          `sum by (instance, traffic_policy) (${
            series("kubeproxy_sync_proxy_rules_no_local_endpoints_total")
          })`,
        ),
      ],
    },
  ],
};

export const apiServer: Row = {
  title: "API server",
  panels: [
    {
      title: "Requests",
      description: "Requests by answer. <error> is none. 401 and 403 are a missing credential or permission.",
      kind: "plot",
      unit: "reqps",
      queries: [query("{{method}} {{code}}", rate("method, code", "rest_client_requests_total"))],
    },
    {
      title: "Time since the last event",
      description: "The oldest per collection. The API server sends a bookmark about once per minute.",
      kind: "plot",
      unit: "s",
      queries: [query(
        "{{resource}}",
        `max by (resource) (time() - ${series("kubeproxy_api_last_event_timestamp_seconds")})`,
      )],
      limits: { critical: 300 },
    },
    {
      title: "Lists, watches and failures",
      description:
        "Each watch ends after 5 to 10 minutes. Much more watches or lists: something breaks the connections.",
      kind: "plot",
      unit: "none",
      queries: [
        query("list {{resource}}", increase("resource", "kubeproxy_api_lists_total")),
        query("watch {{resource}}", increase("resource", "kubeproxy_api_watches_total")),
        query("failed {{resource}}", increase("resource", "kubeproxy_api_watch_failures_total")),
      ],
    },
  ],
};

export const nodes: Row = {
  title: "Nodes and processes",
  panels: [
    {
      title: "Conntrack table",
      description:
        "Entries in relation to the limit. The kernel drops new connections of a node whose table is full.",
      kind: "plot",
      unit: "percentunit",
      queries: [query(
        "{{instance}}",
        `${series("kubeproxy_conntrack_entries")} / (${series("kubeproxy_conntrack_entries_limit")} > 0)`,
      )],
      limits: { warning: 0.75, critical: 0.9 },
    },
    {
      title: "Stale conntrack entries deleted",
      description: "Entries of endpoints that are gone.",
      kind: "plot",
      unit: "ops",
      queries: [
        query("{{instance}}", rate("instance", "kubeproxy_conntrack_reconciler_deleted_entries_total")),
      ],
    },
    {
      title: "Search for stale entries (p99)",
      description: "It grows with the table.",
      kind: "plot",
      unit: "s",
      queries: [
        query(
          "{{ip_family}}",
          quantile(0.99, "kubeproxy_conntrack_reconciler_sync_duration_seconds", "ip_family"),
        ),
      ],
    },
    {
      title: "Memory",
      description: "Resident memory. docs/operations.md#resources has what to expect.",
      kind: "plot",
      unit: "bytes",
      queries: [query("{{instance}}", series("process_resident_memory_bytes"))],
    },
    {
      title: "CPU",
      description: "Processors in use.",
      kind: "plot",
      unit: "none",
      queries: [query("{{instance}}", rate("instance", "process_cpu_seconds_total"))],
    },
    {
      title: "Open file descriptors",
      description: "It stays level unless clients keep connections open.",
      kind: "plot",
      unit: "none",
      queries: [query("{{instance}}", series("process_open_fds"))],
    },
  ],
};
