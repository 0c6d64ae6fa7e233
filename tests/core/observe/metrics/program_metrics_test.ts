import assert from "node:assert/strict";
import { ProgramMetrics } from "../../../../core/observe/metrics/program_metrics.ts";
import { MetricRegistry } from "../../../../core/observe/metrics/registry/registry.ts";
import { addStateMetrics } from "../../../../core/observe/metrics/state_metrics.ts";
import { WatchMetrics } from "../../../../core/observe/metrics/watch_metrics.ts";
import { planOf } from "../../../backends/plans.ts";
import { textOf, valueOf, valuesIn } from "./metrics_text.ts";

function made() {
  const registry = new MetricRegistry();
  return { registry, metrics: new ProgramMetrics(registry) };
}

Deno.test("changes in force are counted by family, object and change, starting at 0", async () => {
  const { registry, metrics } = made();
  metrics.start("IPv4");
  const changes = (object: string, change: string) =>
    valueOf(
      registry,
      `kubeproxy_programmed_changes_total{ip_family="IPv4",object="${object}",change="${change}"}`,
    );
  assert.equal(await changes("service port", "updated"), 0);
  assert.equal(await changes("endpoint", "removed"), 0);
  const web = planOf({ clusterIP: "10.96.0.10:80", endpoints: ["10.1.0.1:80"] });
  const more = planOf({ clusterIP: "10.96.0.10:80", endpoints: ["10.1.0.2:80", "10.1.0.3:80"] });
  const key = web.key;
  metrics.programmed({ changes: [{ key, old: undefined, new: web }, { key, old: web, new: more }] });
  metrics.programmed({ changes: [{ key, old: more, new: undefined }] });
  const expected = [
    ["service port", "added", 1],
    ["service port", "updated", 1],
    ["service port", "removed", 1],
    ["frontend", "added", 1],
    ["frontend", "removed", 1],
    ["endpoint", "added", 3],
    ["endpoint", "removed", 3],
  ] as const;
  for (const [object, change, count] of expected) {
    assert.equal(await changes(object, change), count, `${object} ${change}`);
  }
});

Deno.test("full syncs are counted by reason; the text of a foreign change is no label value", async () => {
  const { registry, metrics } = made();
  const none = { differences: 0, programs: [] };
  metrics.fullSynced({ reason: "start", ...none });
  metrics.fullSynced({
    reason: "table ip kube-proxy deleted by nft (pid 4711)",
    differences: 3,
    programs: ["nft"],
  });
  const reason = (of: string) => valueOf(registry, `kubeproxy_full_syncs_total{reason="${of}"}`);
  assert.deepEqual([await reason("start"), await reason("foreign change"), await reason("hourly")], [
    1,
    1,
    0,
  ]);
  assert.equal(await valueOf(registry, "kubeproxy_repaired_differences_total"), 3);
  assert.equal(await valueOf(registry, 'kubeproxy_repairs_total{program="nft"}'), 1);
});

Deno.test("at most 16 programs that change our objects have a label value; the others share one", async () => {
  const { registry, metrics } = made();
  const programs = Array.from({ length: 100 }, (_, index) => `program${index}`);
  for (let again = 0; again < 2; again++) {
    metrics.fullSynced({ reason: "start", differences: 0, programs });
  }
  const repairs = valuesIn(await textOf(registry)).filter((line) => line.includes("repairs_total"));
  assert.equal(repairs.length, 17);
  assert.ok(repairs.includes('kubeproxy_repairs_total{program="others"} 168'));
});

Deno.test("transactions have a duration and a size, by their result", async () => {
  const { registry, metrics } = made();
  metrics.transactionEnded({ seconds: 0.5, bytes: 1000, committed: true });
  metrics.transactionEnded({ seconds: 0.25, bytes: 300, committed: false });
  const name = "kubeproxy_kernel_transaction";
  assert.equal(await valueOf(registry, `${name}_duration_seconds_sum{result="committed"}`), 0.5);
  assert.equal(await valueOf(registry, `${name}_size_bytes_bucket{result="committed",le="1024"}`), 1);
  assert.equal(await valueOf(registry, `${name}_size_bytes_bucket{result="committed",le="256"}`), 0);
  assert.equal(await valueOf(registry, `${name}_duration_seconds_count{result="rejected"}`), 1);
});

Deno.test("collections are counted by what happened to them, and show when they were heard of last", async () => {
  const registry = new MetricRegistry();
  const metrics = new WatchMetrics(registry, () => 1_700_000_000_500);
  metrics.started("services");
  const of = (name: string) => valueOf(registry, `kubeproxy_api_${name}{resource="services"}`);
  assert.deepEqual([await of("lists_total"), await of("last_event_timestamp_seconds")], [0, undefined]);
  metrics.listed("services");
  metrics.watching("services");
  metrics.failed("services");
  metrics.heard("services");
  metrics.waiting("services", true);
  assert.equal(metrics.retrying, 1);
  metrics.waiting("services", false);
  assert.equal(metrics.retrying, 0);
  const names = ["lists_total", "watches_total", "watch_failures_total", "last_event_timestamp_seconds"];
  assert.deepEqual(await Promise.all(names.map(of)), [1, 1, 1, 1_700_000_000.5]);
});

Deno.test("the state is that of the moment of the scrape", async () => {
  const registry = new MetricRegistry();
  let services = 1;
  addStateMetrics(registry, {
    objects: () => ({ Service: services }),
    servicePorts: () => 2 * services,
    retries: () => ({ sync: 1 }),
  });
  assert.equal(await valueOf(registry, 'kubeproxy_objects{kind="Service"}'), 1);
  services = 5;
  assert.equal(await valueOf(registry, 'kubeproxy_objects{kind="Service"}'), 5);
  assert.equal(await valueOf(registry, "kubeproxy_service_ports"), 10);
  assert.equal(await valueOf(registry, 'kubeproxy_retries_waiting{what="sync"}'), 1);
});
