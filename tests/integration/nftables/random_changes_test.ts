import assert from "node:assert/strict";
import * as fc from "fast-check";
import type { PlanKey, ServicePortPlan } from "../../../core/plan/plan.ts";
import { NetworkNamespace } from "../support/network_namespace.ts";
import { BackendProcess } from "../support/backend_process.ts";
import { anyStep, changesBetween, granted } from "../support/random_plans.ts";
import { tablesIn } from "./support/listing.ts";

Deno.test("after any sequence of changes the kernel holds the same as after a first programming of the same plans", async () => {
  await using changing = await NetworkNamespace.make();
  await using fresh = await NetworkNamespace.make();
  await using changed = new BackendProcess("nftables", changing);
  await using programmed = new BackendProcess("nftables", fresh);
  // Classes and shared elements persist from one sequence to the next, as in a cluster.
  let inForce = new Map<PlanKey, ServicePortPlan>();
  await changed.reconcile([]);
  await fc.assert(
    fc.asyncProperty(fc.array(anyStep, { minLength: 1, maxLength: 4 }), async (steps) => {
      for (const changes of steps) {
        const next = granted(changes);
        await changed.apply(changesBetween(inForce, next));
        inForce = next;
        await programmed.cleanup();
        await programmed.reconcile([...next.values()]);
        const expected = await tablesIn(fresh);
        assert.deepEqual(await tablesIn(changing), expected);
      }
      const report = await changed.reconcile([...inForce.values()]);
      assert.deepEqual(report, { found: "ours", differences: [], compared: "part" });
      assert.deepEqual(await tablesIn(changing), await tablesIn(fresh));
    }),
    // Shrinking would start from the state that the failure left.
    { numRuns: 25, endOnFailure: true },
  );
});
