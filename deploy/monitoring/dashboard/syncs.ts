import { increase, quantile, query, rate, type Row, series } from "./panel.ts";

/** Selects the counter of failed syncs by its name, which depends on the mode. */
const FAILED_SYNCS = '__name__=~"kubeproxy_sync_proxy_rules_(nftables_sync|iptables_restore)_failures_total"';

export const syncs: Row = {
  title: "Changes of the cluster",
  panels: [
    {
      title: "Programming latency",
      description:
        "From the change of an endpoint in the cluster until it is in force, with what the control plane takes.",
      kind: "plot",
      unit: "s",
      queries: [
        query("p50", quantile(0.5, "kubeproxy_network_programming_duration_seconds")),
        query("p99", quantile(0.99, "kubeproxy_network_programming_duration_seconds")),
      ],
    },
    {
      title: "Sync duration (p99)",
      description: "A partial sync writes what changed; a full sync makes the kernel equal to all plans.",
      kind: "plot",
      unit: "s",
      queries: [
        query("partial", quantile(0.99, "kubeproxy_sync_partial_proxy_rules_duration_seconds")),
        query("full", quantile(0.99, "kubeproxy_sync_full_proxy_rules_duration_seconds")),
      ],
    },
    {
      title: "Syncs",
      description: "Successful syncs per second, over all proxies and both families.",
      kind: "plot",
      unit: "ops",
      queries: [query("{{instance}}", rate("instance", "kubeproxy_sync_proxy_rules_duration_seconds_count"))],
    },
    {
      title: "Changes received",
      description: "Changes of Services and EndpointSlices that the proxies were sent.",
      kind: "plot",
      unit: "ops",
      queries: [
        query(
          "Services",
          `sum(rate(${series("kubeproxy_sync_proxy_rules_service_changes_total")}[$__rate_interval]))`,
        ),
        query(
          "EndpointSlices",
          `sum(rate(${series("kubeproxy_sync_proxy_rules_endpoint_changes_total")}[$__rate_interval]))`,
        ),
      ],
    },
    {
      title: "Changes put in force",
      description: "What the syncs changed in the kernel, by object.",
      kind: "plot",
      unit: "ops",
      queries: [query("{{object}} {{change}}", rate("object, change", "kubeproxy_programmed_changes_total"))],
    },
    {
      title: "Changes that are not in force",
      description:
        "Received and not yet programmed. It returns to 0 within milliseconds unless a sync fails.",
      kind: "plot",
      unit: "none",
      queries: [
        query("Services, {{instance}}", series("kubeproxy_sync_proxy_rules_service_changes_pending")),
        query("EndpointSlices, {{instance}}", series("kubeproxy_sync_proxy_rules_endpoint_changes_pending")),
      ],
    },
    {
      title: "Kernel transactions (p99)",
      description: "Modes nftables and iptables: from the request to the kernel's answer.",
      kind: "plot",
      unit: "s",
      queries: [
        query("{{result}}", quantile(0.99, "kubeproxy_kernel_transaction_duration_seconds", "result")),
      ],
    },
    {
      title: "Failed syncs",
      description: "Modes nftables, iptables and ipvs. The log says what the kernel answered.",
      kind: "plot",
      unit: "none",
      queries: [query("{{instance}}", increase("instance", "", FAILED_SYNCS))],
    },
    {
      title: "Retries waiting",
      description: "What failed and will be tried again.",
      kind: "plot",
      unit: "none",
      queries: [query("{{what}}, {{instance}}", series("kubeproxy_retries_waiting"))],
    },
  ],
};
