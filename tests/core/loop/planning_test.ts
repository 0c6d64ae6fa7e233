import assert from "node:assert/strict";
import { Planning } from "../../../core/loop/planning.ts";
import { silentLog } from "../../../core/observe/log.ts";
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
