import assert from "node:assert/strict";
import { diffElements } from "../../../backends/nf_tables/set/changes.ts";
import { elementsOf, SHARED_SETS } from "../../../backends/nftables/compile.ts";
import type { PlanChange } from "../../../core/backend/contract.ts";
import { planOf } from "../plans.ts";
import { FakeTable, stepsOf } from "./batches.ts";
import { elementText } from "./element_texts.ts";

const one = planOf({ clusterIP: "10.96.0.10:80", endpoints: ["10.1.0.1:80"] });
const two = planOf({ clusterIP: "10.96.0.10:80", endpoints: ["10.1.0.1:80", "10.1.0.2:80"] });
const another = planOf({
  name: "another",
  clusterIP: "10.96.0.11:80",
  endpoints: ["10.1.0.1:80", "10.1.0.2:80"],
});

function diff(changes: readonly PlanChange[], usesOf: (id: string) => number) {
  return diffElements(changes, (plan) => elementsOf(plan, []), SHARED_SETS, usesOf);
}

Deno.test("a new endpoint adds its slot and moves the service to the next class", () => {
  const { removed, added } = diff([{ key: one.key, old: one, new: two }], () => 1);
  assert.deepEqual(removed.map(elementText), ["service-ips: 10.96.0.10 . tcp . 80 : goto cluster-1"]);
  assert.deepEqual(added.map(elementText), [
    "service-ips: 10.96.0.10 . tcp . 80 : goto cluster-2",
    "endpoints: 10.96.0.10 . tcp . 80 . 1 : 10.1.0.2:80",
  ]);
});

Deno.test("replacing an endpoint changes one slot", () => {
  const replaced = planOf({ clusterIP: "10.96.0.10:80", endpoints: ["10.1.0.7:80"] });
  const { removed, added } = diff([{ key: one.key, old: one, new: replaced }], () => 1);
  assert.deepEqual(removed.map(elementText), ["endpoints: 10.96.0.10 . tcp . 80 . 0 : 10.1.0.1:80"]);
  assert.deepEqual(added.map(elementText), ["endpoints: 10.96.0.10 . tcp . 80 . 0 : 10.1.0.7:80"]);
});

Deno.test("a ClusterIP stays in its set while one of its ports exists", () => {
  const https = planOf({ portName: "https", clusterIP: "10.96.0.10:443" });
  const gone = [{ key: one.key, old: one, new: undefined }];
  const removedWith = (uses: number) => diff(gone, () => uses).removed.map(elementText);
  assert.ok(!removedWith(2).includes("cluster-ips: 10.96.0.10"));
  assert.ok(removedWith(1).includes("cluster-ips: 10.96.0.10"));
  const swapped = diff([...gone, { key: https.key, old: undefined, new: https }], () => 1);
  assert.ok(![...swapped.removed, ...swapped.added].some(({ set }) => set === "cluster-ips"));
});

Deno.test("the chain of a class is added with its first service and deleted with its last", () => {
  const table = new FakeTable([one]);
  assert.deepEqual(chainsOf(table.apply([one, two])), ["delete cluster-1", "add cluster-2"]);
  assert.deepEqual(chainsOf(table.apply([undefined, another])), []);
  assert.deepEqual(chainsOf(table.apply([two, undefined])), []);
  assert.deepEqual(chainsOf(table.apply([another, undefined])), ["delete cluster-2"]);
});

Deno.test("in a large table a chain outlives its class, because adding its rule again would be expensive", () => {
  const crowd = Array.from({ length: 210 }, (_, service) =>
    planOf({
      name: `crowd-${service}`,
      clusterIP: `10.97.0.${service + 1}:80`,
      endpoints: Array.from({ length: 10 }, (_, endpoint) => `10.2.${service}.${endpoint + 1}:80`),
    }));
  const table = new FakeTable([...crowd, one]);
  assert.deepEqual(chainsOf(table.apply([one, two])), ["add cluster-2"]);
  assert.deepEqual(chainsOf(table.apply([two, one])), []);
  assert.deepEqual(chainsOf(table.apply([one, two])), []);
  const shrunk = crowd.map((plan) => [plan, undefined] as const);
  assert.deepEqual(chainsOf(table.apply(...shrunk)), ["delete cluster-1", "delete cluster-10"]);
  assert.deepEqual(chainsOf(table.apply([two, undefined])), ["delete cluster-2"]);
});

Deno.test("equal plans write nothing", () => {
  assert.deepEqual(stepsOf(new FakeTable([one]).apply([one, { ...one }])), []);
});

Deno.test("weights make no difference", () => {
  const weighed = planOf({ clusterIP: "10.96.0.10:80", endpoints: ["10.1.0.1:80 weight 0"] });
  assert.deepEqual(stepsOf(new FakeTable([one]).apply([one, weighed])), []);
});

Deno.test("deletions come first, and chains before their users, whatever the order of the changes", () => {
  const table = new FakeTable([two]);
  const moved = { ...another, frontends: two.frontends, clusterEndpoints: one.clusterEndpoints };
  assert.deepEqual(stepsOf(table.apply([undefined, moved], [two, undefined])), [
    "delete elements of service-ips",
    "delete elements of endpoints",
    "delete chain cluster-2",
    "add chain cluster-1",
    "add rule to cluster-1",
    "add rule to cluster-1",
    "add elements of service-ips",
  ]);
});

Deno.test("with affinity, all changed chains are flushed before any is deleted, because they go to each other; others stay", () => {
  const sticky = { ...two, affinitySeconds: 10 };
  const fewer = { ...sticky, clusterEndpoints: one.clusterEndpoints };
  const steps = stepsOf(new FakeTable([sticky]).apply([sticky, fewer]))
    .map((step) => step.replace(/[A-Z0-9]{8}-default\/web\/tcp\/http/, "…"));
  assert.deepEqual(steps, [
    "delete rules of service-…",
    "delete rules of endpoint-…__10.1.0.2/80",
    "delete chain endpoint-…__10.1.0.2/80",
    "delete set affinity-…__10.1.0.2/80",
    "add rule to service-…",
    "add set __map%d",
    "add elements of __map%d",
    "add rule to service-…",
  ]);
});

function chainsOf(batch: Uint8Array): string[] {
  return stepsOf(batch).filter((step) => step.includes(" chain ")).map((step) => step.replace("chain ", ""));
}
