import assert from "node:assert/strict";
import { iptables as iptablesMode } from "../../../../backends/iptables/mode.ts";
import { nftables as nftablesMode } from "../../../../backends/nftables/mode.ts";
import type { BackendMetric } from "../../../../core/backend/contract.ts";
import { backendMetrics } from "../../../../core/observe/metrics/backend_metrics.ts";
import { MetricRegistry } from "../../../../core/observe/metrics/registry/registry.ts";
import { SyncFailures } from "../../../../core/observe/metrics/sync_metrics.ts";
import { textOf, valuesIn } from "./metrics_text.ts";

Deno.test("failed syncs are counted under the names that kube-proxy has in the mode, starting at 0", async () => {
  const ofNftables = new MetricRegistry();
  const nftables = new SyncFailures(ofNftables, nftablesMode.failureMetrics, ["IPv4", "IPv6"]);
  nftables.count("IPv4", true);
  nftables.count("IPv4", false);
  assert.deepEqual(valuesIn(await textOf(ofNftables)), [
    'kubeproxy_sync_proxy_rules_nftables_sync_failures_total{ip_family="IPv4"} 2',
    'kubeproxy_sync_proxy_rules_nftables_sync_failures_total{ip_family="IPv6"} 0',
    'kubeproxy_sync_proxy_rules_nftables_cleanup_failures_total{ip_family="IPv4"} 0',
    'kubeproxy_sync_proxy_rules_nftables_cleanup_failures_total{ip_family="IPv6"} 0',
  ]);
  const ofIptables = new MetricRegistry();
  const iptables = new SyncFailures(ofIptables, iptablesMode.failureMetrics, ["IPv4"]);
  iptables.count("IPv4", true);
  iptables.count("IPv4", false);
  assert.deepEqual(valuesIn(await textOf(ofIptables)), [
    'kubeproxy_sync_proxy_rules_iptables_restore_failures_total{ip_family="IPv4"} 2',
    'kubeproxy_sync_proxy_rules_iptables_partial_restore_failures_total{ip_family="IPv4"} 1',
  ]);
});

Deno.test("the metrics of a mode have kube-proxy's prefix, marking and labels", async () => {
  const metrics: readonly BackendMetric[] = [
    {
      name: "dropped_total",
      help: "packets dropped",
      type: "counter",
      labels: [],
      samples: [{ labels: [], value: 3 }],
    },
    {
      name: "rules",
      help: "Number of rules",
      type: "gauge",
      labels: ["table", "ip_family"],
      samples: [{ labels: ["nat", "IPv4"], value: 7 }, { labels: ["filter", "IPv4"], value: 2 }],
    },
  ];
  const source = backendMetrics({ mode: "toy", metrics: () => Promise.resolve(metrics) });
  assert.equal(
    await textOf(new MetricRegistry(), { sources: [source] }),
    "# HELP kubeproxy_dropped_total [ALPHA] packets dropped\n" +
      "# TYPE kubeproxy_dropped_total counter\n" +
      "kubeproxy_dropped_total 3\n\n" +
      "# HELP kubeproxy_rules [ALPHA] Number of rules\n" +
      "# TYPE kubeproxy_rules gauge\n" +
      'kubeproxy_rules{table="nat",ip_family="IPv4"} 7\n' +
      'kubeproxy_rules{table="filter",ip_family="IPv4"} 2\n',
  );
});

Deno.test("a mode without metrics of its own has none", async () => {
  assert.equal(await textOf(new MetricRegistry(), { sources: [backendMetrics({ mode: "toy" })] }), "");
});
