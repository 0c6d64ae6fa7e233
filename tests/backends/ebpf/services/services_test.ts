import assert from "node:assert/strict";
import fc from "fast-check";
import { BackendError } from "../../../../core/backend/contract.ts";
import { Services } from "../../../../backends/ebpf/services/services.ts";
import type { PlanKey, ServicePortPlan } from "../../../../core/plan/plan.ts";
import { anyStep, changesBetween, granted } from "../../../integration/support/random_plans.ts";
import { everyKindOfPlan } from "../../everything.ts";
import { planOf } from "../plans.ts";
import { endpointsIn, type FakeKernel, fakeKernel, meaningOf } from "./fake_kernel.ts";
import { readService, viewOf } from "../../../../backends/ebpf/maps/layout.ts";

const random = { balancing: "random", maglevTableSize: 7 } as const;
const maglev = { balancing: "maglev", maglevTableSize: 7 } as const;

/** Enough for the tables of all services, with the quotas of table_quota_test.ts. */
const SLOTS = 5000;

/** No program runs in these tests. */
const noPrograms = () => {};

function programmed(
  plans: Iterable<ServicePortPlan>,
  options: typeof random | typeof maglev = random,
): FakeKernel {
  const kernel = fakeKernel(SLOTS);
  new Services(kernel, options, noPrograms).reconcile(plans);
  return kernel;
}

for (const options of [random, maglev]) {
  Deno.test(`after any changes the maps are equivalent to a first programming (${options.balancing})`, () => {
    fc.assert(
      fc.property(fc.array(anyStep, { minLength: 1, maxLength: 6 }), (steps) => {
        const kernel = fakeKernel(SLOTS);
        const services = new Services(kernel, options, noPrograms);
        services.reconcile([]);
        let before = new Map<PlanKey, ServicePortPlan>();
        for (const step of steps) {
          const next = granted(step);
          services.apply(changesBetween(before, next));
          before = next;
          assert.deepEqual(meaningOf(kernel), meaningOf(programmed(next.values(), options)));
        }
        // A new process finds no differences.
        const later = new Services(kernel, options, noPrograms);
        assert.deepEqual(later.reconcile(before.values()).differences, []);
      }),
      { numRuns: 40 },
    );
  });
}

Deno.test("at any time during a change a frontend has its old endpoints or its new ones", () => {
  fc.assert(
    fc.property(anyStep, anyStep, anyStep, (...steps) => {
      const kernel = fakeKernel(200);
      const services = new Services(kernel, random, noPrograms);
      services.reconcile([]);
      let before = new Map<PlanKey, ServicePortPlan>();
      for (const step of steps) {
        // Whether a service gets a table depends on those of others.
        const next = new Map(
          [...granted(step)].map(([key, plan]) => [key, { ...plan, balancing: undefined }] as const),
        );
        const [old, desired] = [meaningOf(programmed(before.values())), meaningOf(programmed(next.values()))];
        kernel.services.onChange = () => {
          for (const [frontend, meaning] of meaningOf(kernel)) {
            const { lists } = JSON.parse(meaning);
            const possible = [old, desired].map((meaning) => meaning.get(frontend)).filter((text) =>
              text !== undefined
            );
            assert(
              possible.some((text) => JSON.stringify(JSON.parse(text).lists) === JSON.stringify(lists)),
              `${frontend} has neither the old nor the new endpoints`,
            );
          }
        };
        services.apply(changesBetween(before, next));
        kernel.services.onChange = () => {};
        before = next;
      }
    }),
    { numRuns: 8 },
  );
});

Deno.test("a restart repairs changed entries and keeps all others", () => {
  const kernel = programmed(everyKindOfPlan);
  const before = new Map(kernel.services.entries);
  const desired = meaningOf(kernel);
  const [changed = "", removed = ""] = [...before.keys()];
  kernel.services.entries.set(changed, new Uint8Array(48).fill(7));
  kernel.services.entries.delete(removed);
  kernel.services.entries.set("ff".repeat(20), new Uint8Array(48).fill(255));
  const { differences } = new Services(kernel, random, noPrograms).reconcile(everyKindOfPlan);
  assert.deepEqual(meaningOf(kernel), desired);
  assert(differences.length >= 3, differences.join("; "));
  const kept = [...before].filter(([key, value]) =>
    kernel.services.entries.get(key)?.toHex() === value.toHex()
  );
  assert(kept.length > before.size / 2, `${kept.length} of ${before.size} are unchanged`);
});

Deno.test("changed slots are replaced by new ones, because a program may still read them", () => {
  const plan = planOf({ clusterIP: "10.96.0.10:80", endpoints: ["10.1.0.1:80", "10.1.0.2:80"] });
  const kernel = programmed([plan]);
  const desired = meaningOf(kernel);
  const clusterOf = () => {
    const service = [...kernel.services.entries].find(([key]) => !key.endsWith("00000000"))?.[1];
    assert(service !== undefined);
    return readService(viewOf(service), 0).cluster;
  };
  const before = clusterOf();
  kernel.endpoints.setUint8(before.first * 24 + 15, 99);
  const { differences } = new Services(kernel, random, noPrograms).reconcile([plan]);
  assert.deepEqual(differences, ["10.96.0.10:80/TCP of default/web:http was different"]);
  assert.notEqual(clusterOf().first, before.first);
  assert.deepEqual(meaningOf(kernel), desired);
  assert.equal(endpointsIn(kernel, before).length, 2);
});

Deno.test("unused ports of a ClusterIP are rejected until its last service port is gone", () => {
  const http = planOf({ portName: "http", clusterIP: "10.96.0.10:80" });
  const https = planOf({ portName: "https", clusterIP: "10.96.0.10:443" });
  const kernel = programmed([http, https]);
  const services = new Services(kernel, random, noPrograms);
  services.reconcile([http, https]);
  assert.equal(kernel.services.entries.size, 3);
  services.apply([{ key: http.key, old: http, new: undefined }]);
  assert.equal(kernel.services.entries.size, 2);
  services.apply([{ key: https.key, old: https, new: undefined }]);
  assert.equal(kernel.services.entries.size, 0);
});

Deno.test("many services are removed in one batch", () => {
  const plans = Array.from(
    { length: 40 },
    (_, index) => planOf({ name: `s${index}`, clusterIP: `10.96.0.${index + 1}:80` }),
  );
  const kernel = programmed(plans);
  const services = new Services(kernel, random, noPrograms);
  services.reconcile(plans);
  services.apply(plans.map((plan) => ({ key: plan.key, old: plan, new: undefined })));
  assert.equal(kernel.services.entries.size, 0);
});

Deno.test("a change that exceeds the capacity is rejected with its keys, and nothing changes", () => {
  const small = planOf({ name: "small", clusterIP: "10.96.0.1:80", endpoints: ["10.1.0.1:80"] });
  const large = planOf({
    name: "large",
    clusterIP: "10.96.0.2:80",
    endpoints: Array.from({ length: 20 }, (_, index) => `10.1.0.${index}:80`),
  });
  const kernel = fakeKernel(10, 9);
  const services = new Services(kernel, random, noPrograms);
  services.reconcile([small]);
  const before = meaningOf(kernel);
  const assertRejected = (plans: readonly ServicePortPlan[], text: RegExp) =>
    assert.throws(
      () => services.apply(plans.map((plan) => ({ key: plan.key, old: undefined, new: plan }))),
      (error) => error instanceof BackendError && text.test(error.message) && error.rejectedKeys.length > 0,
    );
  assertRejected([large], /no room for the endpoints of service port default\/large.*--ebpf-max-endpoints/);
  const many = [3, 4, 5, 6].map((host) => planOf({ name: `s${host}`, clusterIP: `10.96.0.${host}:80` }));
  assertRejected(
    many,
    /no room for the addresses and ports of service port default\/s5.*--ebpf-max-frontends/,
  );
  assert.deepEqual(meaningOf(kernel), before);
  // The slots that were allocated for them are free again.
  const clusterEndpoints = large.clusterEndpoints.slice(0, 6);
  const smaller = { ...large, clusterEndpoints, servingEndpoints: clusterEndpoints };
  services.apply([{ key: large.key, old: undefined, new: smaller }]);
});

Deno.test("an id belongs to one service port, whatever the map contains", () => {
  const plans = [
    planOf({ name: "a", clusterIP: "10.96.0.1:80" }),
    planOf({ name: "b", clusterIP: "10.96.0.2:80" }),
  ];
  const kernel = programmed(plans.slice(0, 1));
  const [value] = kernel.services.entries.values();
  // Two frontends of different service ports have the same id.
  const other = programmed(plans.slice(1));
  for (const key of other.services.entries.keys()) {
    if (value !== undefined) kernel.services.entries.set(key, value);
  }
  const services = new Services(kernel, random, noPrograms);
  services.reconcile(plans);
  assert.equal(services.owners.size, 2);
});
