import assert from "node:assert/strict";
import type { ServiceTraffic } from "../../../../core/backend/traffic.ts";
import { Exposition } from "../../../../core/observe/metrics/exposition/exposition.ts";
import { trafficMetrics } from "../../../../core/observe/metrics/traffic_metrics.ts";
import type { ServicePortPlan } from "../../../../core/plan/plan.ts";
import { planOf } from "../../../backends/plans.ts";
import { silentLog } from "../log/silent_log.ts";

const busy = planOf({ name: "busy", clusterIP: "10.96.0.1:80" });
const calm = planOf({ name: "calm", portName: "", clusterIP: "10.96.0.2:80" });
const idle = planOf({ name: "idle", clusterIP: "10.96.0.3:80" });

Deno.test("traffic has metrics per service port, kind of frontend, direction and reason", async () => {
  const scraped = scraperOf([busy, calm], 10);
  const lines = await scraped([
    {
      ...traffic(busy, 3),
      toEndpoints: { packets: 4, bytes: 500 },
      fromEndpoints: { packets: 6, bytes: 700 },
      refused: { "no-endpoints": 8 },
    },
    { ...traffic(calm, 2), frontend: "NodePort" },
  ]);
  const labels =
    'namespace="default",service="busy",port_name="http",protocol="TCP",ip_family="IPv4",frontend="ClusterIP"';
  assert.deepEqual(lines, [
    `kubeproxy_service_connections_total{${labels}} 3`,
    'kubeproxy_service_connections_total{namespace="default",service="calm",port_name="",protocol="TCP",' +
    'ip_family="IPv4",frontend="NodePort"} 2',
    `kubeproxy_service_packets_total{${labels},direction="to_endpoint"} 4`,
    `kubeproxy_service_packets_total{${labels},direction="from_endpoint"} 6`,
    `kubeproxy_service_bytes_total{${labels},direction="to_endpoint"} 500`,
    `kubeproxy_service_bytes_total{${labels},direction="from_endpoint"} 700`,
    `kubeproxy_service_refused_packets_total{${labels},reason="no_endpoints"} 8`,
    'kubeproxy_unallocated_address_dropped_packets_total{ip_family="IPv4"} 9',
  ]);
});

Deno.test("counters of a service port that is no longer in force are left out", async () => {
  assert.deepEqual(connectionsIn(await scraperOf([calm], 10)([traffic(busy, 3), traffic(calm, 2)])), {
    calm: 2,
  });
});

Deno.test("the busiest services have metrics of their own, and the sum of the others never decreases", async () => {
  const connections = connectionsOf([busy, calm, idle], 1);
  assert.deepEqual(await connections(10, 5, 1), { busy: 10, other: 0 });
  assert.deepEqual(await connections(11, 7, 1), { busy: 11, other: 2 });
  // The service with the most connections changes.
  assert.deepEqual(await connections(12, 20, 1), { calm: 20, other: 3 });
  assert.deepEqual(await connections(12, 21, 3), { calm: 21, other: 5 });
  // The counters of one of the others start again.
  assert.deepEqual(await connections(4, 21, 3), { calm: 21, other: 9 });
});

Deno.test("what a service got under its own name is not added to the others when it loses its metrics", async () => {
  const connections = connectionsOf([busy, calm, idle], 2);
  assert.deepEqual(await connections(1000, 900), { busy: 1000, calm: 900 });
  assert.deepEqual(await connections(1000, 901, 11), { busy: 1000, calm: 901, other: 11 });
  assert.deepEqual(await connections(1000, 902), { busy: 1000, calm: 902, other: 11 });
  assert.deepEqual(await connections(1000, 903, 950), { busy: 1000, idle: 950, other: 12 });
});

Deno.test("counters that are older than the process are not added to the others", async () => {
  const connections = connectionsOf([busy, calm], 1);
  // A scrape before the first sync.
  assert.deepEqual(await connections(), {});
  assert.deepEqual(await connections(1000, 900), { busy: 1000, other: 0 });
  assert.deepEqual(await connections(1000, 901), { busy: 1000, other: 1 });
});

Deno.test("a service whose clients are all refused is one of the busiest", async () => {
  const refusing = { ...traffic(idle, 0), refused: { "no-endpoints": 300, "source-range": 200 } };
  const lines = await scraperOf([busy, calm, idle], 2)([traffic(busy, 501), traffic(calm, 499), refusing]);
  assert.deepEqual(connectionsIn(lines), { busy: 501, idle: 0, other: 0 });
});

Deno.test("with at most so many services there is no sum", async () => {
  const lines = await scraperOf([busy, calm, idle], 3)([
    traffic(busy, 1),
    traffic(calm, 1),
    traffic(idle, 1),
  ]);
  assert.deepEqual(connectionsIn(lines), { busy: 1, calm: 1, idle: 1 });
});

function traffic({ key }: ServicePortPlan, connections: number): ServiceTraffic {
  return { key, frontend: "ClusterIP", connections, refused: {} };
}

/** Returns a function that makes the samples of a scrape, without comments, from counters. */
function scraperOf(plans: readonly ServicePortPlan[], maxServices: number) {
  let services: readonly ServiceTraffic[] = [];
  const source = trafficMetrics({
    plans: () => new Map(plans.map((plan) => [plan.key, plan])),
    counters: { get: () => Promise.resolve({ services, unallocated: { IPv4: 9 } }) },
  }, maxServices);
  const registry = { metrics: [], histograms: new Map() };
  const exposition = new Exposition({ registry, sources: [source], log: silentLog });
  return async (counters: readonly ServiceTraffic[]) => {
    services = counters;
    const text = await exposition.body("text");
    return String(text).split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  };
}

/** Returns a function that scrapes with connections of the first plans. */
function connectionsOf(plans: readonly ServicePortPlan[], maxServices: number) {
  const scraped = scraperOf(plans, maxServices);
  return async (...counts: readonly number[]) =>
    connectionsIn(
      await scraped(plans.slice(0, counts.length).map((plan, index) => traffic(plan, counts[index] ?? 0))),
    );
}

/** Connections by service. */
function connectionsIn(lines: readonly string[]): Record<string, number> {
  return Object.fromEntries(lines.flatMap((line) => {
    const [, service, value] =
      /^kubeproxy_service_connections_total\{.*service="(\w+)".* (\d+)$/.exec(line) ?? [];
    return service === undefined ? [] : [[service, Number(value)]];
  }));
}
