import assert from "node:assert/strict";
import { modes } from "../../../../backends/registry.ts";
import { featureGates } from "../../../../core/config/feature_gates.ts";
import { ConntrackMetrics } from "../../../../core/observe/metrics/conntrack_metrics.ts";
import { Metrics } from "../../../../core/observe/metrics/metrics.ts";
import { MetricRegistry } from "../../../../core/observe/metrics/registry/registry.ts";
import { textOf, valueOf, valuesIn } from "./metrics_text.ts";

const now = 1_700_000_000_500;

Deno.test("full and partial syncs have a histogram each, and one together", async () => {
  const metrics = new Metrics({ now: () => now });
  metrics.sync.synced({ family: "IPv4", seconds: 0.003, full: true });
  metrics.sync.synced({ family: "IPv4", seconds: 0.002, full: false });
  assert.equal(
    await valueOf(metrics.registry, 'kubeproxy_sync_proxy_rules_duration_seconds_count{ip_family="IPv4"}'),
    2,
  );
  assert.equal(
    await valueOf(metrics.registry, 'kubeproxy_sync_full_proxy_rules_duration_seconds_sum{ip_family="IPv4"}'),
    0.003,
  );
  assert.equal(
    await valueOf(
      metrics.registry,
      'kubeproxy_sync_partial_proxy_rules_duration_seconds_sum{ip_family="IPv4"}',
    ),
    0.002,
  );
  assert.equal(
    await valueOf(
      metrics.registry,
      'kubeproxy_sync_proxy_rules_duration_seconds_bucket{ip_family="IPv4",le="0.002"}',
    ),
    1,
    "bounds are inclusive",
  );
});

Deno.test("a sync that has nothing to write counts as the last one", async () => {
  let time = now;
  const metrics = new Metrics({ now: () => time });
  const times = async () =>
    await Promise.all(
      ["last_queued", "last"].map((name) =>
        valueOf(metrics.registry, `kubeproxy_sync_proxy_rules_${name}_timestamp_seconds{ip_family="IPv4"}`)
      ),
    );
  metrics.sync.queued("IPv4");
  assert.deepEqual(await times(), [1_700_000_000.5, undefined]);
  time += 1000;
  metrics.sync.settled("IPv4");
  assert.deepEqual(await times(), [1_700_000_000.5, 1_700_000_001.5]);
});

Deno.test("the buckets of the programming latency are kube-proxy's, with the leading 0", async () => {
  const metrics = new Metrics({ now: () => now });
  metrics.sync.networkProgrammed("IPv6", now - 61_000);
  const bounds = [
    ...(await textOf(metrics.registry)).matchAll(
      /kubeproxy_network_programming_duration_seconds_bucket\{.*le="([^"]+)".*\}/g,
    ),
  ]
    .map(([, bound]) => bound);
  assert.deepEqual(bounds.slice(0, 5), ["0", "0.25", "0.5", "1", "2"]);
  assert.deepEqual(bounds.slice(-9), ["115", "120", "150", "180", "210", "240", "270", "300", "+Inf"]);
  assert.equal(bounds.length, 1 + 2 + 59 + 12 + 7 + 1);
  assert.equal(
    await valueOf(metrics.registry, 'kubeproxy_network_programming_duration_seconds_sum{ip_family="IPv6"}'),
    61,
  );
});

Deno.test("changes, failures and answers are counted under kube-proxy's names", async () => {
  const metrics = new Metrics({ now: () => now });
  metrics.sync.serviceChanged();
  metrics.sync.endpointsChanged();
  metrics.sync.endpointsChanged();
  metrics.sync.changesPending({ services: 1, endpoints: 2 });
  metrics.sync.noLocalEndpoints("IPv4", { internal: 3, external: 4 });
  metrics.sync.frontendConflicts(6);
  metrics.health.healthzAnswered(503);
  metrics.health.livezAnswered(200);
  metrics.sync.queued("IPv4");
  metrics.conntrack.conntrackReconciled({ family: "IPv4", seconds: 0.1, deleted: 5 });
  metrics.conntrack.conntrackFailed("IPv4");
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
    assert.equal(await valueOf(metrics.registry, sample), expected, sample);
  }
});

Deno.test("help texts have the marking of kube-proxy", async () => {
  assert.match(
    await textOf(new Metrics().registry),
    /^# HELP kubeproxy_sync_proxy_rules_service_changes_total \[ALPHA\] Cumulative proxy rules Service changes$/m,
  );
});

Deno.test("the metrics of the process are present", async () => {
  const metrics = new Metrics();
  const between = async (sample: string, least: number, most: number) => {
    const found = await valueOf(metrics.registry, sample) ?? NaN;
    assert(found >= least && found <= most, `${sample} is ${found}`);
  };
  await between("process_resident_memory_bytes", 10e6, 1e10);
  await between("process_virtual_memory_bytes", 10e6, 1e15);
  await between("process_cpu_seconds_total", 0, 1e6);
  await between("process_open_fds", 3, 1e6);
  await between("process_max_fds", 3, 2 ** 64);
  await between("process_virtual_memory_max_bytes", 10e6, 2 ** 64);
  await between("process_network_receive_bytes_total", 1, 1e18);
  await between("process_network_transmit_bytes_total", 1, 1e18);
  await between("process_start_time_seconds", Date.now() / 1000 - 3600, Date.now() / 1000);
});

Deno.test("dropped log lines are counted by reason", async () => {
  const { registry } = new Metrics({ droppedLines: () => ({ rate: 1, queue: 0, write: 7 }) });
  for (const [reason, lines] of Object.entries({ rate: 1, queue: 0, write: 7 })) {
    assert.equal(await valueOf(registry, `kubeproxy_log_lines_dropped_total{reason="${reason}"}`), lines);
  }
});

Deno.test("requests to the API server are counted under the names of client-go", async () => {
  const { registry, restClient } = new Metrics();
  const request = { method: "GET", host: "10.0.0.1:6443" } as const;
  restClient.requestEnded({ ...request, status: 200, seconds: 0.025, bytes: 0 });
  restClient.requestEnded({ ...request, status: 200, seconds: 0.1, bytes: 0 });
  restClient.requestEnded({ ...request, status: undefined, seconds: 3, bytes: 0 });
  restClient.requestEnded({ ...request, method: "POST", status: 201, seconds: 0.1, bytes: 300 });
  const host = 'host="10.0.0.1:6443"';
  assert.equal(await valueOf(registry, `rest_client_requests_total{code="200",method="GET",${host}}`), 2);
  assert.equal(await valueOf(registry, `rest_client_requests_total{code="<error>",method="GET",${host}}`), 1);
  const bucket = `rest_client_request_duration_seconds_bucket{verb="GET",${host},le="0.025"}`;
  assert.equal(await valueOf(registry, bucket), 1);
  assert.equal(await valueOf(registry, `rest_client_request_duration_seconds_count{verb="GET",${host}}`), 3);
  const size = `rest_client_request_size_bytes_sum{verb="POST",${host}}`;
  assert.equal(await valueOf(registry, size), 300);
  restClient.answerRead({ ...request, bytes: 5000 });
  const answer = (rest: string) => valueOf(registry, `rest_client_response_size_bytes_${rest}`);
  assert.equal(await answer(`sum{verb="GET",${host}}`), 5000);
  assert.equal(await answer(`bucket{verb="GET",${host},le="4096"}`), 0);
  assert.equal(await answer(`bucket{verb="GET",${host},le="16384"}`), 1);
});

Deno.test("the build and the feature gates are what kube-proxy's consumers look for", async () => {
  const gates = featureGates({ featureGates: { NativeHistograms: false } }, modes);
  const { registry } = new Metrics({ gates });
  const text = await textOf(registry);
  // The alert KubeVersionMismatch of kubernetes-mixin takes the version from here.
  assert.match(text, /^kubernetes_build_info\{.*git_version="v1\.37\..*\} 1$/m);
  assert.equal(
    await valueOf(registry, 'kubernetes_feature_enabled{name="NativeHistograms",stage="BETA"}'),
    0,
  );
  assert.equal(
    await valueOf(registry, 'kubernetes_feature_enabled{name="MultiCIDRServiceAllocator",stage=""}'),
    1,
  );
  assert.equal(
    await valueOf(registry, 'kubernetes_feature_enabled{name="KubeProxyIPVS",stage="DEPRECATED"}'),
    1,
  );
});

Deno.test("conntrack entries are read with their limit, and without conntrack they are 0", async () => {
  const directory = await Deno.makeTempDir();
  try {
    const registry = new MetricRegistry();
    new ConntrackMetrics(registry, directory);
    assert.equal(await valueOf(registry, "kubeproxy_conntrack_entries"), 0);
    await Deno.writeTextFile(`${directory}/nf_conntrack_count`, "12\n");
    await Deno.writeTextFile(`${directory}/nf_conntrack_max`, "262144\n");
    assert.equal(await valueOf(registry, "kubeproxy_conntrack_entries"), 12);
    assert.equal(await valueOf(registry, "kubeproxy_conntrack_entries_limit"), 262144);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

Deno.test("the names of all values are the same in every text format", async () => {
  const { registry, serviceLevel } = new Metrics({ droppedLines: () => ({ rate: 1, queue: 0, write: 7 }) });
  serviceLevel.pinged();
  for (const metrics of [registry, serviceLevel.registry]) {
    const names = async (format: "text" | "openmetrics") =>
      valuesIn(await textOf(metrics, { format })).map((line) => line.replace(/ .*/, ""));
    assert.deepEqual(await names("openmetrics"), await names("text"));
  }
});
