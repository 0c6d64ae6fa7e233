import assert from "node:assert/strict";
import { Planning } from "../../../core/sync/plan_queue.ts";
import { silentLog } from "../../../core/observe/log.ts";
import { address, aSlice } from "../plan/builders.ts";
import { service, slice, view } from "./objects.ts";

function planning(): Planning {
  const planning = new Planning("here", silentLog);
  planning.setView(view);
  return planning;
}

function names(
  changes: readonly { old?: { name: string } | undefined; new?: { name: string } | undefined }[],
) {
  return changes.map((change) => `${change.old ? "-" : "+"}${(change.new ?? change.old)?.name}`);
}

Deno.test("what is in force and unchanged is no change", () => {
  const p = planning();
  p.upsert(service("a", "10.96.0.1"));
  p.upsert(slice("a", "10.1.0.1"));
  const changes = p.takeChanges();
  assert.deepEqual(names(changes), ["+a"]);
  p.accept(changes);
  p.upsert(slice("a", "10.1.0.1"));
  assert.deepEqual(p.takeChanges(), []);
  p.upsert(slice("a", "10.1.0.1", "10.1.0.2"));
  assert.equal(p.takeChanges().length, 1);
});

Deno.test("changes that were put back are taken again", () => {
  const p = planning();
  p.upsert(service("a", "10.96.0.1"));
  const changes = p.takeChanges();
  assert.equal(changes.length, 1);
  assert.deepEqual(p.takeChanges(), []);
  p.putBack(changes);
  assert.deepEqual(p.takeChanges(), changes);
});

Deno.test("a service that appears and goes between two syncs changes nothing", () => {
  const p = planning();
  p.upsert(service("a", "10.96.0.1"));
  p.delete({ kind: "Service", namespace: "default", name: "a" });
  assert.deepEqual(p.takeChanges(), []);
});

Deno.test("of two services with one cluster IP the older has it, and the other when that one is gone", () => {
  const p = planning();
  p.upsert(service("young", "10.96.0.1", { created: "2026-02-01T00:00:00Z" }));
  p.upsert(service("old", "10.96.0.1", { created: "2026-01-01T00:00:00Z" }));
  const first = p.takeChanges();
  p.accept(first);
  const frontends = () =>
    Object.fromEntries([...p.applied.values()].map((plan) => [plan.name, plan.frontends.length]));
  assert.deepEqual(frontends(), { old: 1, young: 0 });
  p.delete({ kind: "Service", namespace: "default", name: "old" });
  const second = p.takeChanges();
  // The frontend is freed before it is taken.
  assert.deepEqual(second.map((change) => change.new?.name ?? null), [null, "young"]);
  p.accept(second);
  assert.deepEqual(frontends(), { young: 1 });
});

Deno.test("a refused plan waits for its delay, and is tried at once when it changes", () => {
  const p = planning();
  p.upsert(service("a", "10.96.0.1"));
  const [refused] = p.takeChanges();
  assert.ok(refused);
  p.refuse(refused);
  assert.ok(p.nextRetry() > performance.now());
  p.upsert(slice("other", "10.1.0.9"));
  assert.deepEqual(p.takeChanges(), []);
  p.upsert(service("a", "10.96.0.1", { affinitySeconds: 10 }));
  const again = p.takeChanges();
  assert.equal(again.length, 1);
  p.accept(again);
  assert.equal(p.nextRetry(), Infinity);
});

Deno.test("another zone plans every service again, and only what differs is a change", () => {
  const p = planning();
  const hinted = slice("a", "10.1.0.1", "10.1.0.2");
  p.upsert(service("a", "10.96.0.1"));
  p.upsert({
    ...hinted,
    endpoints: hinted.endpoints.map(({ address, traits }, index) => ({
      address,
      traits: { ...traits, zoneHints: [`zone-${index}`] },
    })),
  });
  p.upsert(service("b", "10.96.0.2"));
  p.upsert(slice("b", "10.1.0.3"));
  p.accept(p.takeChanges());
  p.setView({ ...view, context: { ...view.context, zone: "zone-1" } });
  const changes = p.takeChanges();
  assert.deepEqual(changes.map((change) => [change.new?.name, change.new?.clusterEndpoints.length]), [[
    "a",
    1,
  ]]);
});

Deno.test("a removal that was put back or refused is not forgotten", () => {
  const p = planning();
  p.upsert(service("a", "10.96.0.1"));
  p.accept(p.takeChanges());
  p.delete({ kind: "Service", namespace: "default", name: "a" });
  const [removal] = p.takeChanges();
  assert.ok(removal);
  p.putBack([removal]);
  assert.deepEqual(p.takeChanges(), [removal]);
  p.refuse(removal);
  p.upsert(service("a", "10.96.0.1"));
  assert.deepEqual(p.takeChanges(), []);
  assert.equal(p.nextRetry(), Infinity);
});

Deno.test("changes wait until they are in force, and those of a batch that failed with the next one", () => {
  const p = planning();
  const waiting = () => [p.waiting.services, p.waiting.endpoints];
  p.upsert(service("a", "10.96.0.1"));
  p.upsert(slice("a", "10.1.0.1"));
  p.upsert(slice("a", "10.1.0.1"));
  assert.deepEqual(waiting(), [1, 1]);
  p.putBack(p.takeChanges());
  p.upsert(slice("a", "10.1.0.2"));
  assert.deepEqual(waiting(), [1, 2]);
  const changes = p.takeChanges();
  p.upsert(service("b", "10.96.0.2"));
  p.accept(changes);
  p.complete();
  assert.deepEqual(waiting(), [1, 0]);
});

Deno.test("service ports whose Local policy finds endpoints, but none here, are counted as they come and go", () => {
  const p = planning();
  const local = { internalTrafficPolicy: "Local", externalTrafficPolicy: "Local" } as const;
  const applyAll = () => p.accept(p.takeChanges());
  p.upsert(service("a", "10.96.0.1", { ...local, externalIPs: [address("203.0.113.1")] }));
  p.upsert(service("internal", "10.96.0.2", { internalTrafficPolicy: "Local" }));
  p.upsert(service("none", "10.96.0.3", local));
  applyAll();
  assert.deepEqual(p.noLocalEndpoints("IPv4"), { internal: 0, external: 0 }, "no endpoints anywhere");
  p.upsert(slice("a", "10.1.0.1"));
  p.upsert(slice("internal", "10.1.0.1"));
  applyAll();
  assert.deepEqual(p.noLocalEndpoints("IPv4"), { internal: 2, external: 1 });
  p.replaceApplied(new Map(p.applied));
  assert.deepEqual(p.noLocalEndpoints("IPv4"), { internal: 2, external: 1 });
  p.upsert(aSlice([{ at: "10.1.0.1", nodeName: "here" }], { name: "a-1", service: "a" }));
  p.delete({ kind: "Service", namespace: "default", name: "internal" });
  applyAll();
  assert.deepEqual(p.noLocalEndpoints("IPv4"), { internal: 0, external: 0 });
});

Deno.test("health checks come with the sync that makes their service's change real, and only what changed", () => {
  const p = planning();
  const checks = () => [...p.complete()].map(([name, check]) => `${name}: ${check?.port ?? "none"}`);
  p.upsert(service("a", "10.96.0.1", { healthCheckNodePort: 32100 }));
  p.upsert(service("b", "10.96.0.2"));
  p.putBack(p.takeChanges());
  p.takeChanges();
  assert.deepEqual(checks(), ["default/a: 32100"]);
  assert.deepEqual(checks(), []);
  p.upsert(service("b", "10.96.0.2", { affinitySeconds: 1 }));
  p.takeChanges();
  assert.deepEqual(checks(), []);
  p.upsert(service("a", "10.96.0.1"));
  p.takeChanges();
  assert.deepEqual(checks(), ["default/a: none"]);
  p.delete({ kind: "Service", namespace: "default", name: "a" });
  p.takeChanges();
  assert.deepEqual(checks(), []);
});

Deno.test("weights that change are a change, and nothing else of the objects has to", () => {
  const p = planning();
  const weights = () =>
    [...p.applied.values()].flatMap(({ clusterEndpoints }) => clusterEndpoints.map(({ weight }) => weight));
  p.upsert(service("a", "10.96.0.1"));
  p.upsert(slice("a", "10.1.0.1"));
  p.accept(p.takeChanges());
  assert.deepEqual(weights(), [undefined]);
  p.upsert(service("a", "10.96.0.1", { weight: 5 }));
  p.accept(p.takeChanges());
  assert.deepEqual(weights(), [5]);
  p.upsert({ ...slice("a", "10.1.0.1"), weight: 0 });
  p.accept(p.takeChanges());
  assert.deepEqual(weights(), [0]);
});
