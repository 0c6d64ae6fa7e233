import assert from "node:assert/strict";
import { modes } from "../../../../backends/registry.ts";
import { Metrics } from "../../../../core/observe/metrics/metrics.ts";
import { trafficMetrics } from "../../../../core/observe/metrics/traffic_metrics.ts";
import { addStateMetrics } from "../../../../core/observe/metrics/state_metrics.ts";
import { documentedMetrics, scrapedMetrics } from "./metrics_page.ts";
import { textOf } from "./metrics_text.ts";

const documented = documentedMetrics();

/** Text of all files of the modes. */
function* sources(folder = new URL("../../../../backends/", import.meta.url)): Generator<string> {
  for (const { name, isDirectory } of Deno.readDirSync(folder)) {
    if (isDirectory) yield* sources(new URL(`${name}/`, folder));
    else if (name.endsWith(".ts")) yield Deno.readTextFileSync(new URL(name, folder));
  }
}

Deno.test("docs/metrics.md has the metrics of every mode with their types", async () => {
  const { registry, serviceLevel } = new Metrics({ droppedLines: () => ({ rate: 0, queue: 0, write: 0 }) });
  const none = () => ({});
  addStateMetrics(registry, { objects: none, servicePorts: () => 0, retries: none });
  const traffic = trafficMetrics({
    plans: () => new Map(),
    counters: { get: () => Promise.resolve({ services: [], unallocated: {} }) },
  }, 0);
  const texts = [
    await textOf(registry),
    await textOf(serviceLevel.registry),
    await textOf({ metrics: await traffic.read(), histograms: new Map() }),
  ];
  const actual = texts.flatMap((text) => [...scrapedMetrics(text)]).map(([name, { type }]) =>
    `${name} ${type}`
  );
  const onPage = documented.filter(({ modes }) => modes.length === 0).map(({ name, type }) =>
    `${name} ${type}`
  );
  const transactions = documented.filter(({ name }) => name.includes("kernel_transaction"));
  onPage.push(...transactions.map(({ name, type }) => `${name} ${type}`));
  assert.deepEqual([...new Set(onPage)].sort(), [...new Set(actual)].sort());
});

Deno.test("docs/metrics.md has the metrics of the modes", () => {
  const text = [...sources()].join("\n");
  const inSource = [...text.matchAll(/name: "([a-z_]+_(?:total|listeners|last))"/g)].map(([, name = ""]) =>
    name
  );
  const inModes = modes.flatMap(({ failureMetrics }) => failureMetrics.map(({ name }) => name));
  const onPage = documented.filter(({ modes }) => modes.length > 0).map(({ name }) =>
    name.replace("kubeproxy_", "")
  );
  for (const name of [...inSource, ...inModes]) {
    assert.ok(onPage.includes(name), `${name} is not on the page`);
  }
  for (const name of onPage) {
    if (name.startsWith("kernel_transaction")) continue;
    // A name may be made of two parts: `sync_proxy_rules_iptables_${which}`.
    const isInSource = text.includes(name) || text.includes(`${name.replace(/_(total|last)$/, "_")}\${`);
    assert.ok(isInSource, `${name} is on the page, and in no mode`);
  }
});

Deno.test("each metric is on the page once", () => {
  const names = documented.map(({ name }) => name);
  assert.deepEqual(names.filter((name, index) => names.indexOf(name) !== index), []);
  assert.ok(names.length > 50);
});
