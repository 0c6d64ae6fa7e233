import assert from "node:assert/strict";
import { iptables as iptablesMode } from "../../../backends/iptables/mode.ts";
import { nftables as nftablesMode } from "../../../backends/nftables/mode.ts";
import { SyncFailures } from "../../../core/observe/metrics/sync_failures.ts";

function samples(failures: SyncFailures): readonly string[] {
  return failures.text().split("\n").filter((line) => line !== "" && !line.startsWith("#"));
}

Deno.test("failed syncs are counted under the names that upstream has in this mode, from 0 on", () => {
  const nftables = new SyncFailures(nftablesMode.failureMetrics, ["IPv4", "IPv6"]);
  nftables.count("IPv4", true);
  nftables.count("IPv4", false);
  assert.deepEqual(samples(nftables), [
    'kubeproxy_sync_proxy_rules_nftables_sync_failures_total{ip_family="IPv4"} 2',
    'kubeproxy_sync_proxy_rules_nftables_sync_failures_total{ip_family="IPv6"} 0',
    'kubeproxy_sync_proxy_rules_nftables_cleanup_failures_total{ip_family="IPv4"} 0',
    'kubeproxy_sync_proxy_rules_nftables_cleanup_failures_total{ip_family="IPv6"} 0',
  ]);
  const iptables = new SyncFailures(iptablesMode.failureMetrics, ["IPv4"]);
  iptables.count("IPv4", true);
  iptables.count("IPv4", false);
  assert.deepEqual(samples(iptables), [
    'kubeproxy_sync_proxy_rules_iptables_restore_failures_total{ip_family="IPv4"} 2',
    'kubeproxy_sync_proxy_rules_iptables_partial_restore_failures_total{ip_family="IPv4"} 1',
  ]);
});
