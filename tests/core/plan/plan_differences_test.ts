import assert from "node:assert/strict";
import fc from "fast-check";
import type { ServicePortPlan } from "../../../core/plan/plan.ts";
import { planDifferences } from "../../../core/plan/plan_differences.ts";
import { planOf, type PlanText } from "../../backends/plans.ts";

const before: PlanText = { clusterIP: "10.96.0.10:80", endpoints: ["10.1.0.1:8080", "10.1.0.3:8080"] };

Deno.test("a plan that comes or goes has all its frontends and endpoints as differences", () => {
  const plan = planOf({ ...before, nodePort: 30080 });
  assert.deepEqual(planDifferences(undefined, plan), {
    frontends: { added: 2, removed: 0 },
    endpoints: { added: 2, removed: 0 },
  });
  assert.deepEqual(planDifferences(plan, undefined), {
    frontends: { added: 0, removed: 2 },
    endpoints: { added: 0, removed: 2 },
  });
});

Deno.test("a frontend whose address, port or kind changes is another one", () => {
  const plan = planOf({ ...before, nodePort: 30080 });
  const frontends = (text: PlanText) => planDifferences(plan, planOf({ ...before, ...text })).frontends;
  assert.deepEqual(frontends({ nodePort: 30080 }), { added: 0, removed: 0 });
  assert.deepEqual(frontends({ nodePort: 30081 }), { added: 1, removed: 1 });
  assert.deepEqual(frontends({ nodePort: 30080, externalIPs: ["10.96.0.10:80"] }), { added: 1, removed: 0 });
});

Deno.test("endpoints are those that new connections may get", () => {
  const local: ServicePortPlan = { ...planOf(before), clusterEndpoints: [] };
  const plan = { ...local, localEndpoints: planOf(before).clusterEndpoints };
  assert.deepEqual(planDifferences(undefined, plan).endpoints, { added: 2, removed: 0 });
});

Deno.test("endpoints that differ are counted as a comparison of sets does", () => {
  const hosts = fc.uniqueArray(fc.integer({ min: 1, max: 20 }), { maxLength: 12 });
  fc.assert(fc.property(hosts, hosts, (old, next) => {
    const withEndpoints = (of: readonly number[]): ServicePortPlan => {
      const sorted = of.toSorted((a, b) => a - b).map((host) => `10.1.0.${host}:8080`);
      return planOf({ clusterIP: "10.96.0.10:80", endpoints: sorted });
    };
    assert.deepEqual(planDifferences(withEndpoints(old), withEndpoints(next)).endpoints, {
      added: new Set(next).difference(new Set(old)).size,
      removed: new Set(old).difference(new Set(next)).size,
    });
  }));
});
