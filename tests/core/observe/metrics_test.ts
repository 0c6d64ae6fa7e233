import assert from "node:assert/strict";
import { Metrics } from "../../../core/observe/metrics/metrics.ts";

const now = 1_700_000_000_500;

/** Value of one sample. */
function value(metrics: Metrics, sample: string): number | undefined {
  const line = metrics.text().split("\n").find((line) => line.startsWith(`${sample} `));
  return line === undefined ? undefined : Number(line.slice(sample.length + 1));
}

Deno.test("full and partial syncs have a histogram each, and one together", () => {
  const metrics = new Metrics(() => now);
  metrics.syncObserved({ family: "IPv4", seconds: 0.003, full: true });
  metrics.syncObserved({ family: "IPv4", seconds: 0.002, full: false });
  assert.equal(value(metrics, 'kubeproxy_sync_proxy_rules_duration_seconds_count{ip_family="IPv4"}'), 2);
  assert.equal(
    value(metrics, 'kubeproxy_sync_full_proxy_rules_duration_seconds_sum{ip_family="IPv4"}'),
    0.003,
  );
  assert.equal(
    value(metrics, 'kubeproxy_sync_partial_proxy_rules_duration_seconds_sum{ip_family="IPv4"}'),
    0.002,
  );
  assert.equal(
    value(metrics, 'kubeproxy_sync_proxy_rules_duration_seconds_bucket{ip_family="IPv4",le="0.002"}'),
    1,
    "bounds are inclusive",
  );
  assert.equal(
    value(metrics, 'kubeproxy_sync_proxy_rules_last_timestamp_seconds{ip_family="IPv4"}'),
    1_700_000_000.5,
  );
});

Deno.test("the buckets of the programming latency are kube-proxy's, with the leading 0", () => {
  const metrics = new Metrics(() => now);
  metrics.networkProgrammed("IPv6", now - 61_000);
  const bounds = [
    ...metrics.text().matchAll(/kubeproxy_network_programming_duration_seconds_bucket\{.*le="([^"]+)"\}/g),
  ]
    .map(([, bound]) => bound);
  assert.deepEqual(bounds.slice(0, 5), ["0", "0.25", "0.5", "1", "2"]);
  assert.deepEqual(bounds.slice(-9), ["115", "120", "150", "180", "210", "240", "270", "300", "+Inf"]);
  assert.equal(bounds.length, 1 + 2 + 59 + 12 + 7 + 1);
  assert.equal(value(metrics, 'kubeproxy_network_programming_duration_seconds_sum{ip_family="IPv6"}'), 61);
});

Deno.test("changes, failures and answers are counted under kube-proxy's names", () => {
  const metrics = new Metrics(() => now);
  metrics.serviceChanged();
  metrics.endpointsChanged();
  metrics.endpointsChanged();
  metrics.changesPending({ services: 1, endpoints: 2 });
  metrics.noLocalEndpoints("IPv4", { internal: 3, external: 4 });
  metrics.frontendConflicts(6);
  metrics.healthzAnswered(503);
  metrics.livezAnswered(200);
  metrics.syncQueued("IPv4");
  metrics.conntrackReconciled({ family: "IPv4", seconds: 0.1, deleted: 5 });
  metrics.conntrackFailed("IPv4");
  const samples = {
    "kubeproxy_sync_proxy_rules_service_changes_total": 1,
    "kubeproxy_sync_proxy_rules_endpoint_changes_total": 2,
    "kubeproxy_sync_proxy_rules_service_changes_pending": 1,
    "kubeproxy_sync_proxy_rules_endpoint_changes_pending": 2,
    'kubeproxy_sync_proxy_rules_no_local_endpoints_total{traffic_policy="internal",ip_family="IPv4"}': 3,
    'kubeproxy_sync_proxy_rules_no_local_endpoints_total{traffic_policy="external",ip_family="IPv4"}': 4,
    "kubeproxy_sync_proxy_rules_frontend_conflicts": 6,
    'kubeproxy_proxy_healthz_total{code="503"}': 1,
    'kubeproxy_proxy_livez_total{code="200"}': 1,
    'kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds{ip_family="IPv4"}': 1_700_000_000.5,
    'kubeproxy_conntrack_reconciler_sync_duration_seconds_count{ip_family="IPv4"}': 1,
    'kubeproxy_conntrack_reconciler_deleted_entries_total{ip_family="IPv4"}': 5,
    'kubeproxy_conntrack_reconciler_failures_total{ip_family="IPv4"}': 1,
  };
  for (const [sample, expected] of Object.entries(samples)) {
    assert.equal(value(metrics, sample), expected, sample);
  }
});

Deno.test("help texts have the marking of kube-proxy", () => {
  assert.match(
    new Metrics().text(),
    /^# HELP kubeproxy_sync_proxy_rules_service_changes_total \[ALPHA\] Cumulative proxy rules Service changes$/m,
  );
});

Deno.test("the metrics of the process are present", () => {
  const metrics = new Metrics();
  const between = (sample: string, least: number, most: number) => {
    const found = value(metrics, sample) ?? NaN;
    assert(found >= least && found <= most, `${sample} is ${found}`);
  };
  between("process_resident_memory_bytes", 10e6, 1e10);
  between("process_virtual_memory_bytes", 10e6, 1e15);
  between("process_cpu_seconds_total", 0, 1e6);
  between("process_open_fds", 3, 1e6);
  between("process_max_fds", 3, Infinity);
  between("process_start_time_seconds", Date.now() / 1000 - 3600, Date.now() / 1000);
});

Deno.test("dropped log lines are counted by reason", () => {
  const metrics = new Metrics();
  metrics.logLinesDropped({ rate: 1, queue: 0, write: 7 });
  for (const [reason, lines] of Object.entries({ rate: 1, queue: 0, write: 7 })) {
    assert.equal(value(metrics, `kubeproxy_log_lines_dropped_total{reason="${reason}"}`), lines);
  }
});
