import assert from "node:assert/strict";
import fc from "fast-check";
import { BackendError, type PlanChange } from "../../../core/backend/contract.ts";
import { applyBisecting } from "../../../core/sync/bisect.ts";
import { planService } from "../../../core/plan/planner.ts";
import { MapBackend, rejectServices } from "./kernel.ts";
import { service, slice, view } from "./objects.ts";

function additions(names: readonly string[]): PlanChange[] {
  return names.flatMap((name, index) =>
    planService(service(name, `10.96.0.${index + 1}`), [slice(name, "10.1.0.1")], view.context)
      .map((plan) => ({ key: plan.key, old: undefined, new: plan }))
  );
}

const names = Array.from({ length: 40 }, (_, index) => `s${index}`);

for (const named of [true, false]) {
  Deno.test(`a bad service blocks no other, whether or not the rejection names it (named: ${named})`, async () => {
    const badSets = fc.uniqueArray(fc.constantFrom(...names), { maxLength: 5 });
    await fc.assert(
      fc.asyncProperty(badSets, async (bad) => {
        const backend = new MapBackend();
        backend.reject = rejectServices(bad, { named });
        const outcome = await applyBisecting(backend, additions(names));
        assert.deepEqual(outcome.rejected.map(({ change }) => change.new?.name).sort(), [...bad].sort());
        assert.equal(backend.inForce.size, names.length - bad.length);
        assert.equal(outcome.applied.length, names.length - bad.length);
        assert.deepEqual(outcome.untried, []);
      }),
      { numRuns: 50 },
    );
  });
}

Deno.test("a kernel that rejects everything is not asked once per service", async () => {
  const backend = new MapBackend();
  backend.reject = () => new BackendError("EPERM");
  const many = Array.from({ length: 200 }, (_, index) => `s${index}`);
  const outcome = await applyBisecting(backend, additions(many));
  assert.equal(backend.inForce.size, 0);
  assert.ok(backend.calls.length < 30, `${backend.calls.length} calls`);
  assert.equal(outcome.rejected.length + outcome.untried.length, many.length);
});

Deno.test("a defect is not taken for a rejection", async () => {
  const backend = { apply: () => Promise.reject(new TypeError("bug")) };
  await assert.rejects(applyBisecting(backend, additions(["a"])), TypeError);
});
