import assert from "node:assert/strict";
import fc from "fast-check";
import { FrontendClaims } from "../../../core/plan/frontend_claims.ts";
import type { Service } from "../../../core/objects/objects.ts";
import { describeFrontend, type PlanKey, type ServicePortPlan } from "../../../core/plan/plan.ts";
import { planService } from "../../../core/plan/planner.ts";
import { address, aService, here, webPort } from "./builders.ts";
import { anyService } from "../../oracle/random_cluster.ts";

function plan(service: Partial<Service>): ServicePortPlan {
  const [first] = planService(aService(service), [], here);
  assert.ok(first !== undefined);
  return first;
}

const a = plan({ name: "a", externalIPs: [address("198.51.100.1")] });
const b = plan({ name: "b", clusterIPs: [address("10.96.0.11")], externalIPs: [address("198.51.100.1")] });

function shown(plan: ServicePortPlan): readonly string[] {
  return plan.frontends.map((frontend) => `${plan.family} ${describeFrontend(frontend, plan.protocol)}`);
}

Deno.test("a free frontend can be claimed, and claiming it again changes nothing", () => {
  const claims = new FrontendClaims();
  for (let times = 0; times < 2; times++) {
    const claim = claims.claim(a);
    assert.equal(claim.plan, a);
    assert.deepEqual([claim.conflicts, claim.freed], [[], []]);
  }
});

Deno.test("the first claimant keeps the frontend; the second gets its other frontends and a log line", () => {
  const claims = new FrontendClaims();
  claims.claim(a);
  const claim = claims.claim(b);
  assert.deepEqual(shown(claim.plan), ["IPv4 10.96.0.11:80/TCP"]);
  assert.deepEqual(claim.conflicts, ["198.51.100.1:80/TCP of default/b:http is held by default/a:http"]);
});

Deno.test("when the holder is gone, the waiting service is planned again and gets the frontend", () => {
  const claims = new FrontendClaims();
  claims.claim(a);
  claims.claim(b);
  assert.deepEqual(claims.release(a.key), ["default/b"]);
  assert.equal(claims.claim(b).plan, b);
  assert.deepEqual(claims.release(b.key), []);
});

Deno.test("a holder that no longer claims a frontend releases it", () => {
  const claims = new FrontendClaims();
  claims.claim(a);
  claims.claim(b);
  assert.deepEqual(claims.claim(plan({ name: "a" })).freed, ["default/b"]);
  assert.equal(claims.claim(b).plan, b);
});

Deno.test("a service port that claims a frontend no longer does not wait for it", () => {
  for (
    const giveUp of [
      (claims: FrontendClaims) => claims.release(b.key),
      (claims: FrontendClaims) => claims.claim({ ...b, frontends: [] }),
    ]
  ) {
    const claims = new FrontendClaims();
    claims.claim(a);
    claims.claim(b);
    giveUp(claims);
    assert.deepEqual(claims.release(a.key), []);
  }
});

Deno.test("node ports conflict by protocol and family, and not with addresses", () => {
  const withNodePort = (name: string, protocol: "TCP" | "UDP", clusterIP: string) =>
    plan({
      name,
      clusterIPs: [address(clusterIP)],
      ports: [{ ...webPort, protocol, port: 30080, nodePort: 30080 }],
    });
  const claims = new FrontendClaims();
  assert.equal(claims.claim(withNodePort("a", "TCP", "10.96.0.1")).plan.frontends.length, 2);
  assert.equal(claims.claim(withNodePort("b", "UDP", "10.96.0.2")).plan.frontends.length, 2);
  assert.equal(claims.claim(withNodePort("c", "TCP", "fd00::3")).plan.frontends.length, 2);
  assert.deepEqual(claims.claim(withNodePort("d", "TCP", "10.96.0.4")).conflicts, [
    "node port 30080/TCP of default/d:http is held by default/a:http",
  ]);
});

Deno.test("two ports of one service that claim the same frontend conflict, too", () => {
  const [first, second] = planService(
    aService({ ports: [webPort, { ...webPort, name: "other" }] }),
    [],
    here,
  );
  assert.ok(first !== undefined && second !== undefined);
  const claims = new FrontendClaims();
  assert.equal(claims.claim(first).plan, first);
  assert.deepEqual(claims.claim(second).conflicts, [
    "10.96.0.10:80/TCP of default/web:other is held by default/web:http",
  ]);
});

const names = ["web", "api", "db"];
const anyStep = fc.record({ service: anyService, name: fc.constantFrom(...names), isGone: fc.boolean() });

Deno.test("a frontend never has two holders, and no claimed frontend is unused", () => {
  fc.assert(
    fc.property(fc.array(anyStep, { maxLength: 15 }), (steps) => {
      const claims = new FrontendClaims();
      const desired = new Map<PlanKey, ServicePortPlan>();
      const planned = new Map<PlanKey, ServicePortPlan>();
      const replan = (waiting: readonly string[]) => {
        for (const name of waiting) {
          for (const plan of desired.values()) if (`default/${plan.name}` === name) claim(plan);
        }
      };
      const claim = (plan: ServicePortPlan) => {
        desired.set(plan.key, plan);
        const result = claims.claim(plan);
        planned.set(plan.key, result.plan);
        assert.equal(result.conflicts.length, plan.frontends.length - result.plan.frontends.length);
        replan(result.freed);
      };
      for (const { service, name, isGone } of steps) {
        const plans = isGone ? [] : planService({ ...service, name }, [], here);
        for (const old of [...desired.values()].filter((plan) => plan.name === name)) {
          if (plans.some(({ key }) => key === old.key)) continue;
          desired.delete(old.key);
          planned.delete(old.key);
          replan(claims.release(old.key));
        }
        plans.forEach(claim);

        const held = [...planned.values()].flatMap(shown);
        assert.equal(new Set(held).size, held.length, "two holders");
        assert.deepEqual(
          new Set(held),
          new Set([...desired.values()].flatMap(shown)),
          "a claimed frontend is unused",
        );
      }
    }),
    { numRuns: 1000 },
  );
});
