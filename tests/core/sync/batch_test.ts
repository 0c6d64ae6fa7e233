import assert from "node:assert/strict";
import type { PlanChange } from "../../../core/backend/contract.ts";
import type { Batch } from "../../../core/sync/batch.ts";
import { PlanQueue } from "../../../core/sync/plan_queue.ts";
import { silentLog } from "../observe/log/silent_log.ts";
import { service, view } from "./objects.ts";

/** A queue and its batch of two new services. */
function taken(): { queue: PlanQueue; batch: Batch; a: PlanChange; b: PlanChange } {
  const queue = new PlanQueue("here", silentLog);
  queue.setView(view);
  queue.upsert(service("a", "10.96.0.1"));
  queue.upsert(service("b", "10.96.0.2"));
  const batch = queue.take();
  const [a, b] = batch.changes;
  assert.ok(a && b);
  return { queue, batch, a, b };
}

Deno.test("a batch cannot be closed with a change that is not accounted for", () => {
  const { batch, a, b } = taken();
  batch.accept([a]);
  assert.deepEqual(batch.open, [b]);
  assert.throws(() => batch.close(), /not accounted for: 1, the first of default\/b/);
  batch.reject(b);
  assert.equal(batch.close(), true);
});

Deno.test("a change cannot be accounted for twice", () => {
  const { batch, a, b } = taken();
  batch.accept([a]);
  for (const again of [() => batch.accept([a]), () => batch.reject(a), () => batch.putBack([a, b])]) {
    assert.throws(again, /the change of default\/a:http\/TCP\/IPv4 is already accounted for/);
  }
});

Deno.test("a change of another batch cannot be accounted for", () => {
  const { batch } = taken();
  const { batch: other, a } = taken();
  other.putBack(other.changes);
  batch.accept(batch.changes);
  assert.throws(
    () => batch.reject({ ...a, key: "default/c:http/TCP/IPv4" as PlanChange["key"] }),
    /not part of/,
  );
});

Deno.test("a batch that is closed takes nothing more", () => {
  const { batch, a } = taken();
  batch.accept(batch.changes);
  batch.close();
  assert.throws(() => batch.close(), /the batch is closed/);
  assert.throws(() => batch.accept([a]), /the batch is closed/);
  assert.throws(() => batch.putBack([]), /the batch is closed/);
});

Deno.test("a batch with a change that was put back is not complete", () => {
  const { queue, batch, a, b } = taken();
  batch.accept([a]);
  batch.putBack([b]);
  assert.equal(batch.close(), false);
  assert.equal(queue.waiting.services, 2);
  assert.deepEqual(queue.take().changes, [b]);
});

Deno.test("the plans of a reconcile account for the changes that are in them", () => {
  const { queue, batch, a, b } = taken();
  batch.replaceAll(new Map([[a.key, a.new!]]));
  assert.throws(() => batch.close(), /not accounted for: 1, the first of default\/b/);
  batch.reject(b);
  assert.equal(batch.close(), true);
  assert.deepEqual([...queue.applied.keys()], [a.key]);
});
