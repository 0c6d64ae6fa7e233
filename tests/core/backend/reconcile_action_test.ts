import assert from "node:assert/strict";
import type { ReconcileReport } from "../../../core/backend/contract.ts";
import { reconcileAction } from "../../../core/backend/reconcile_action.ts";

function report(part: Partial<ReconcileReport>): ReconcileReport {
  return { found: "ours", differences: [], compared: "all", ...part };
}

Deno.test("the first programming of an empty kernel is logged as created", () => {
  assert.equal(reconcileAction(report({ found: "nothing" }), true), "created");
  assert.equal(reconcileAction(report({ found: "nothing", differences: ["x"] }), false), "created");
});

Deno.test("rules of an earlier process or of kube-proxy are taken over", () => {
  assert.equal(reconcileAction(report({}), true), "took over");
  assert.equal(reconcileAction(report({ found: "foreign" }), false), "took over");
});

Deno.test("a later reconcile repairs, or has compared or refilled what was right", () => {
  assert.equal(reconcileAction(report({ differences: ["x"] }), false), "repaired");
  assert.equal(reconcileAction(report({}), false), "compared");
  assert.equal(reconcileAction(report({ compared: "part" }), false), "refilled");
});
