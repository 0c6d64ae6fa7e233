import assert from "node:assert/strict";
import type { Batch } from "../../../core/sync/batch.ts";
import { PlanQueue } from "../../../core/sync/plan_queue.ts";
import { silentLog } from "../observe/log/silent_log.ts";
import { address, aSlice } from "../plan/builders.ts";
import { service, slice, view } from "./objects.ts";

function newQueue(): PlanQueue {
  const queue = new PlanQueue("here", silentLog);
  queue.setView(view);
  return queue;
}

/** Takes a batch and puts all of it in force. */
function applyAll(queue: PlanQueue): Batch {
  const batch = queue.take();
  batch.accept(batch.changes);
  batch.close();
  return batch;
}

/** Takes a batch and fails: all of it is put back. */
function failAll(queue: PlanQueue): Batch {
  const batch = queue.take();
  batch.putBack(batch.changes);
  batch.close();
  return batch;
}

function names(
  changes: readonly { old?: { name: string } | undefined; new?: { name: string } | undefined }[],
) {
  return changes.map((change) => `${change.old ? "-" : "+"}${(change.new ?? change.old)?.name}`);
}

Deno.test("a plan that is in force and unchanged is no change", () => {
  const queue = newQueue();
  queue.upsert(service("a", "10.96.0.1"));
  queue.upsert(slice("a", "10.1.0.1"));
  assert.deepEqual(names(applyAll(queue).changes), ["+a"]);
  queue.upsert(slice("a", "10.1.0.1"));
  assert.deepEqual(applyAll(queue).changes, []);
  queue.upsert(slice("a", "10.1.0.1", "10.1.0.2"));
  assert.equal(applyAll(queue).changes.length, 1);
});

Deno.test("changes that were put back are taken again, but not while they are in flight", () => {
  const queue = newQueue();
  queue.upsert(service("a", "10.96.0.1"));
  const batch = queue.take();
  assert.equal(batch.changes.length, 1);
  assert.throws(() => queue.take(), /still in flight/);
  batch.putBack(batch.changes);
  batch.close();
  assert.deepEqual(applyAll(queue).changes, batch.changes);
  assert.deepEqual(applyAll(queue).changes, []);
});

Deno.test("a service that appears and goes between two syncs changes nothing", () => {
  const queue = newQueue();
  queue.upsert(service("a", "10.96.0.1"));
  queue.delete({ kind: "Service", namespace: "default", name: "a" });
  assert.deepEqual(queue.take().changes, []);
});

Deno.test("of two services with one cluster IP the older holds it, and the other one after it is gone", () => {
  const queue = newQueue();
  queue.upsert(service("young", "10.96.0.1", { created: "2026-02-01T00:00:00Z" }));
  queue.upsert(service("old", "10.96.0.1", { created: "2026-01-01T00:00:00Z" }));
  applyAll(queue);
  const frontends = () =>
    Object.fromEntries([...queue.applied.values()].map((plan) => [plan.name, plan.frontends.length]));
  assert.deepEqual(frontends(), { old: 1, young: 0 });
  queue.delete({ kind: "Service", namespace: "default", name: "old" });
  const second = applyAll(queue);
  // The frontend is freed before it is claimed.
  assert.deepEqual(second.changes.map((change) => change.new?.name ?? null), [null, "young"]);
  assert.deepEqual(frontends(), { young: 1 });
});

Deno.test("a rejected plan waits for its delay, and is tried at once when it changes", () => {
  const queue = newQueue();
  queue.upsert(service("a", "10.96.0.1"));
  const batch = queue.take();
  const [rejected] = batch.changes;
  assert.ok(rejected);
  batch.reject(rejected);
  batch.close();
  assert.ok(queue.nextRetryMs > performance.now());
  queue.upsert(slice("other", "10.1.0.9"));
  assert.deepEqual(applyAll(queue).changes, []);
  queue.upsert(service("a", "10.96.0.1", { affinitySeconds: 10 }));
  assert.equal(applyAll(queue).changes.length, 1);
  assert.equal(queue.nextRetryMs, Infinity);
});

Deno.test("a plan in force that a reconcile rejects is planned again after its delay", () => {
  const queue = newQueue();
  queue.upsert(service("a", "10.96.0.1"));
  applyAll(queue);
  const [plan] = queue.applied.values();
  assert.ok(plan);
  const batch = queue.take();
  batch.rejectInForce(plan);
  batch.replaceAll(new Map());
  assert.equal(batch.close(), true);
  assert.equal(queue.applied.size, 0);
  assert.ok(queue.nextRetryMs > performance.now());
  queue.upsert(service("a", "10.96.0.1", { affinitySeconds: 10 }));
  assert.deepEqual(names(applyAll(queue).changes), ["+a"]);
  assert.equal(queue.nextRetryMs, Infinity);
});

Deno.test("a new zone plans all services again, and only different plans are changes", () => {
  const queue = newQueue();
  const hinted = slice("a", "10.1.0.1", "10.1.0.2");
  queue.upsert(service("a", "10.96.0.1"));
  queue.upsert({
    ...hinted,
    endpoints: hinted.endpoints.map(({ address, traits }, index) => ({
      address,
      traits: { ...traits, zoneHints: [`zone-${index}`] },
    })),
  });
  queue.upsert(service("b", "10.96.0.2"));
  queue.upsert(slice("b", "10.1.0.3"));
  applyAll(queue);
  const difference = queue.setView({ ...view, context: { ...view.context, zone: "zone-1" } });
  assert.deepEqual(difference, { context: true, settings: false, nodePortAddresses: false });
  const { changes } = applyAll(queue);
  assert.deepEqual(changes.map((change) => [change.new?.name, change.new?.clusterEndpoints.length]), [[
    "a",
    1,
  ]]);
});

Deno.test("new settings plan no service again", () => {
  const queue = newQueue();
  queue.upsert(service("a", "10.96.0.1"));
  applyAll(queue);
  const [settings] = view.settings;
  assert.ok(settings);
  const difference = queue.setView({ ...view, settings: [{ ...settings, masqueradeAll: true }] });
  assert.deepEqual(difference, { context: false, settings: true, nodePortAddresses: false });
  assert.deepEqual(queue.take().changes, []);
  assert.equal(queue.view.settings[0]?.masqueradeAll, true);
});

Deno.test("a removal that was put back or rejected is not forgotten", () => {
  const queue = newQueue();
  queue.upsert(service("a", "10.96.0.1"));
  applyAll(queue);
  queue.delete({ kind: "Service", namespace: "default", name: "a" });
  const [removal] = failAll(queue).changes;
  assert.ok(removal);
  const again = queue.take();
  assert.deepEqual(again.changes, [removal]);
  again.reject(removal);
  again.close();
  queue.upsert(service("a", "10.96.0.1"));
  assert.deepEqual(applyAll(queue).changes, []);
  assert.equal(queue.nextRetryMs, Infinity);
});

Deno.test("changes count as waiting until they are in force, also after a batch that failed", () => {
  const queue = newQueue();
  const waiting = () => [queue.waiting.services, queue.waiting.endpoints];
  queue.upsert(service("a", "10.96.0.1"));
  queue.upsert(slice("a", "10.1.0.1"));
  queue.upsert(slice("a", "10.1.0.1"));
  assert.deepEqual(waiting(), [1, 1]);
  failAll(queue);
  queue.upsert(slice("a", "10.1.0.2"));
  assert.deepEqual(waiting(), [1, 2]);
  const batch = queue.take();
  queue.upsert(service("b", "10.96.0.2"));
  batch.accept(batch.changes);
  batch.close();
  assert.deepEqual(waiting(), [1, 0]);
});

Deno.test("service ports with a Local policy and endpoints only on other nodes are counted", () => {
  const queue = newQueue();
  const local = { internalTrafficPolicy: "Local", externalTrafficPolicy: "Local" } as const;
  queue.upsert(service("a", "10.96.0.1", { ...local, externalIPs: [address("203.0.113.1")] }));
  queue.upsert(service("internal", "10.96.0.2", { internalTrafficPolicy: "Local" }));
  queue.upsert(service("none", "10.96.0.3", local));
  applyAll(queue);
  assert.deepEqual(queue.noLocalEndpoints("IPv4"), { internal: 0, external: 0 }, "no endpoints anywhere");
  queue.upsert(slice("a", "10.1.0.1"));
  queue.upsert(slice("internal", "10.1.0.1"));
  applyAll(queue);
  assert.deepEqual(queue.noLocalEndpoints("IPv4"), { internal: 2, external: 1 });
  const full = queue.take();
  full.replaceAll(new Map(queue.applied));
  full.close();
  assert.deepEqual(queue.noLocalEndpoints("IPv4"), { internal: 2, external: 1 });
  queue.upsert(aSlice([{ at: "10.1.0.1", nodeName: "here" }], { name: "a-1", service: "a" }));
  queue.delete({ kind: "Service", namespace: "default", name: "internal" });
  applyAll(queue);
  assert.deepEqual(queue.noLocalEndpoints("IPv4"), { internal: 0, external: 0 });
});

Deno.test("a batch has the health checks of its services, and only changed ones", () => {
  const queue = newQueue();
  const checks = ({ healthChecks }: Batch) =>
    [...healthChecks].map(([name, check]) => `${name}: ${check?.port ?? "none"}`);
  queue.upsert(service("a", "10.96.0.1", { healthCheckNodePort: 32100 }));
  queue.upsert(service("b", "10.96.0.2"));
  failAll(queue);
  assert.deepEqual(checks(applyAll(queue)), ["default/a: 32100"]);
  assert.deepEqual(checks(applyAll(queue)), []);
  queue.upsert(service("b", "10.96.0.2", { affinitySeconds: 1 }));
  assert.deepEqual(checks(applyAll(queue)), []);
  queue.upsert(service("a", "10.96.0.1"));
  assert.deepEqual(checks(applyAll(queue)), ["default/a: none"]);
  queue.delete({ kind: "Service", namespace: "default", name: "a" });
  assert.deepEqual(checks(applyAll(queue)), []);
});

Deno.test("health checks of a failed batch without changes are part of the next batch", () => {
  const queue = newQueue();
  queue.upsert(service("a", "10.96.0.1"));
  applyAll(queue);
  queue.upsert(service("a", "10.96.0.1", { externalTrafficPolicy: "Local" }));
  queue.upsert(service("gone", "10.96.0.2", { healthCheckNodePort: 32100 }));
  queue.upsert(service("gone", "10.96.0.2", { clusterIPs: [], healthCheckNodePort: 32100 }));
  const failed = queue.take();
  assert.deepEqual(failed.changes, []);
  assert.deepEqual([...failed.healthChecks.keys()], ["default/gone"]);
  failed.putBack([]);
  assert.equal(failed.close(), false);
  assert.equal(queue.waiting.services, 3);
  assert.deepEqual([...applyAll(queue).healthChecks.keys()], ["default/gone"]);
  assert.equal(queue.waiting.services, 0);
});

Deno.test("a new weight alone is a change", () => {
  const queue = newQueue();
  const weights = () =>
    [...queue.applied.values()].flatMap(({ clusterEndpoints }) =>
      clusterEndpoints.map(({ weight }) => weight)
    );
  queue.upsert(service("a", "10.96.0.1"));
  queue.upsert(slice("a", "10.1.0.1"));
  applyAll(queue);
  assert.deepEqual(weights(), [undefined]);
  queue.upsert(service("a", "10.96.0.1", { weight: 5 }));
  applyAll(queue);
  assert.deepEqual(weights(), [5]);
  queue.upsert({ ...slice("a", "10.1.0.1"), weight: 0 });
  applyAll(queue);
  assert.deepEqual(weights(), [0]);
});
