/** A panel of a dashboard. It has data if one of its queries has. */
export interface Panel {
  readonly title: string;
  readonly queries: readonly string[];
}

const SELECTOR = 'cluster="", job="kube-proxy"';
const INSTANCE = `${SELECTOR}, instance=~".+"`;
/** Grafana's $__rate_interval. */
const INTERVAL = "30s";

const rate = (series: string) => `rate(${series}[${INTERVAL}])`;
const requests = (code: string) => `sum(${rate(`rest_client_requests_total{${INSTANCE}, code=~"${code}"}`)})`;
const requestLatency = (verb: string) => {
  const buckets = `rest_client_request_duration_seconds_bucket{${INSTANCE}, verb="${verb}"}`;
  return `histogram_quantile(0.99, sum(${rate(buckets)}) by (verb, le))`;
};

/** The queries of the dashboard Proxy of kubernetes-mixin (dashboards/proxy.libsonnet, aa38e2bf). */
export const PROXY_PANELS: readonly Panel[] = [
  { title: "Up", queries: [`sum(up{${SELECTOR}})`] },
  {
    title: "Rules Sync Rate",
    queries: [`sum(${rate(`kubeproxy_sync_proxy_rules_duration_seconds_count{${INSTANCE}}`)})`],
  },
  {
    title: "Rules Sync Latency 99th Quantile",
    queries: [
      `histogram_quantile(0.99, ${rate(`kubeproxy_sync_proxy_rules_duration_seconds_bucket{${INSTANCE}}`)})`,
    ],
  },
  {
    title: "Network Programming Rate",
    queries: [`sum(${rate(`kubeproxy_network_programming_duration_seconds_count{${INSTANCE}}`)})`],
  },
  {
    title: "Network Programming Latency 99th Quantile",
    queries: [
      `histogram_quantile(0.99, sum(${
        rate(`kubeproxy_network_programming_duration_seconds_bucket{${INSTANCE}}`)
      }) by (instance, le))`,
    ],
  },
  { title: "Kube API Request Rate", queries: ["2..", "3..", "4..", "5.."].map(requests) },
  { title: "Post Request Latency 99th Quantile", queries: [requestLatency("POST")] },
  { title: "Get Request Latency 99th Quantile", queries: [requestLatency("GET")] },
  { title: "Memory", queries: [`process_resident_memory_bytes{${INSTANCE}}`] },
  { title: "CPU usage", queries: [rate(`process_cpu_seconds_total{${INSTANCE}}`)] },
];

/** The only panel without data: there is no Go (docs/metrics.md). */
export const GOROUTINES: Panel = { title: "Goroutines", queries: [`go_goroutines{${INSTANCE}}`] };
