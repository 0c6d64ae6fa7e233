import assert from "node:assert/strict";
import fc from "fast-check";
import { BackendError, type PlanChange } from "../../../../../core/backend/contract.ts";
import type { PlanKey, ServicePortPlan } from "../../../../../core/plan/plan.ts";
import { Services } from "../../../../../backends/ebpf/services/services.ts";
import { type FakeKernel, fakeKernel, meaningOf } from "../fake_kernel.ts";
import { planOf } from "../../plans.ts";

const options = { balancing: "random", maglevTableSize: 101 } as const;
const SLOTS = 1024;

function start(kernel: FakeKernel = fakeKernel(SLOTS), plans: readonly ServicePortPlan[] = []) {
  const services = new Services(kernel, options, () => {});
  services.reconcile(plans);
  return { kernel, services };
}

let host = 0;
/** A service port with this number of endpoints, which no other has. */
function service(namespace: string, endpoints: number, balancing?: "maglev"): ServicePortPlan {
  host++;
  const plan = planOf({
    namespace,
    name: `s${1000 + host}`,
    clusterIP: `10.96.${host >> 8}.${host & 255}:80`,
    endpoints: endpointsOf(endpoints, 1),
    balancing,
  });
  return plan;
}

const endpointsOf = (count: number, network: number) =>
  Array.from({ length: count }, (_, index) => `10.${network}.${index >> 8}.${index & 255}:${8000 + host}`);

/** A service port after a rollout of all its pods. */
function moved(plan: ServicePortPlan): ServicePortPlan {
  const { clusterEndpoints } = planOf({ endpoints: endpointsOf(plan.clusterEndpoints.length, 2) });
  return { ...plan, clusterEndpoints, servingEndpoints: clusterEndpoints };
}

const repeat = <Thing>(count: number, make: () => Thing) => Array.from({ length: count }, make);
const added = (plan: ServicePortPlan) => ({ key: plan.key, old: undefined, new: plan });
const changed = (old: ServicePortPlan) => ({ key: old.key, old, new: moved(old) });
const keysOf = (plans: readonly ServicePortPlan[]) => plans.map(({ key }) => key);

function rejectedBy(action: () => unknown): readonly string[] {
  try {
    action();
  } catch (error) {
    assert(error instanceof BackendError);
    return error.rejectedKeys;
  }
  return [];
}

Deno.test("plain endpoints of one namespace leave slots for the rollouts and services of others", () => {
  const web = service("other", 1);
  const { kernel, services } = start(undefined, [web]);
  const tenant = [...repeat(16, () => service("tenant", 64)), ...repeat(300, () => service("tenant", 1))];
  const rejected = rejectedBy(() => services.apply(tenant.map(added)));
  services.apply(tenant.filter(({ key }) => !rejected.includes(key)).map(added));
  assert.equal(rejected.length, 316 - 11 - 63, "11 × 64 + 63 = three quarters without that of the other one");
  services.apply([changed(web)]);
  services.apply(repeat(20, () => added(service("third", 5))));
  // A change that takes as many slots as before fits, whoever has most.
  const [large] = tenant;
  services.apply([changed(large!)]);
  const slots = services.metrics().find(({ name }) => name === "ebpf_largest_namespace_entries")?.samples;
  assert.deepEqual(slots?.find(({ labels }) => labels[0] === "endpoint_slots")?.value, 767);
  assert.equal(new Set([...kernel.services.entries.keys()]).size, 2 * (1 + 74 + 20));
});

Deno.test("a start names all lists that do not fit in one pass, and keeps those in force", () => {
  const inForce = repeat(11, () => service("tenant", 64));
  const others = repeat(5, () => service("other", 1));
  const { kernel } = start(undefined, inForce);
  const more = repeat(20, () => service("tenant", 64));
  const all = [...more, ...inForce, ...others];
  const restarted = new Services(kernel, options, () => {});
  assert.deepEqual(rejectedBy(() => restarted.reconcile(all)), keysOf(more));
  assert.equal(restarted.reconcile([...inForce, ...others]).differences.length, 2 * others.length);
  // In empty maps, too.
  assert.deepEqual(rejectedBy(() => start(undefined, all)), keysOf([...inForce, ...more].slice(11)));
});

Deno.test("tables that a start grants take no slots that lists need", () => {
  const tables = repeat(5, () => service("tables", 1, "maglev"));
  const lists = repeat(8, () => service("lists", 64));
  const { services } = start(undefined, [...tables, ...lists]);
  const slots = services.metrics().find(({ name }) => name === "ebpf_endpoint_slots")?.samples;
  // A table of 101 slots and one serving endpoint each. The second one would leave less than it takes.
  assert.deepEqual(slots?.map(({ value }) => value), [8 * 64 + 4, 102, SLOTS - 516 - 102]);
  assert.equal(services.warnings("all").length, 1);
});

Deno.test("lists that change together take the slots that are free from small to large, and the rest is named", () => {
  const plans = [...repeat(10, () => service("tenant", 64)), ...repeat(10, () => service("other", 1))];
  const { kernel, services } = start(undefined, plans);
  const before = meaningOf(kernel);
  const changes = plans.map(changed);
  // 1024 - 650 are free until the old lists are retired.
  const rejected = rejectedBy(() => services.apply(changes));
  assert.deepEqual(rejected, keysOf(plans.slice(5, 10)));
  assert.deepEqual(meaningOf(kernel), before);
  services.apply(changes.filter(({ key }) => !rejected.includes(key)));
  services.apply(changes.filter(({ key }) => rejected.includes(key)));
  assert.deepEqual(meaningOf(kernel), meaningOf(start(undefined, plans.map(moved)).kernel));
});

Deno.test("after any batches all slots are accounted for, with tables and without", () => {
  const service = fc.record({
    namespace: fc.constantFrom("a", "b", "c"),
    name: fc.constantFrom("x", "y", "z"),
    endpoints: fc.integer({ min: 0, max: 60 }),
    balancing: fc.constantFrom(undefined, "maglev" as const),
    network: fc.constantFrom(1, 2),
  });
  fc.assert(
    fc.property(fc.array(fc.array(service, { maxLength: 6 }), { maxLength: 10 }), (steps) => {
      const { kernel, services } = start(fakeKernel(400));
      const inForce = new Map<PlanKey, ServicePortPlan>();
      for (const step of steps) {
        const desired = new Map(
          step.map(({ namespace, name, endpoints, balancing, network }) => {
            const clusterIP = `10.96.${namespace.charCodeAt(0)}.${name.charCodeAt(0)}:80`;
            const texts = endpointsOf(endpoints, network);
            const plan = planOf({ namespace, name, clusterIP, endpoints: texts, balancing });
            return [plan.key, plan] as const;
          }),
        );
        let changes: readonly PlanChange[] = [...new Set([...inForce.keys(), ...desired.keys()])].map((
          key,
        ) => ({
          key,
          old: inForce.get(key),
          new: desired.get(key),
        }));
        for (let rejected: readonly string[] = [""]; rejected.length > 0;) {
          rejected = rejectedBy(() => services.apply(changes));
          changes = changes.filter(({ key }) => !rejected.includes(key));
        }
        for (const { key, new: next } of changes) {
          if (next === undefined) inForce.delete(key);
          else inForce.set(key, next);
        }
        const restarted = new Services(kernel, options, () => {});
        assert.deepEqual(rejectedBy(() => restarted.reconcile(inForce.values())), []);
        services.reconcile(inForce.values());
        assert.deepEqual([...services.verification()].filter((what) => what !== undefined), []);
      }
      services.apply([...inForce.values()].map((plan) => ({ key: plan.key, old: plan, new: undefined })));
      const values = services.metrics().flatMap(({ name, samples }) =>
        name === "ebpf_endpoint_slots" || name === "ebpf_largest_namespace_entries"
          ? samples.map(({ value }) => value)
          : []
      );
      assert.deepEqual(values, [0, 0, 400, 0, 0, 0]);
      // One namespace alone gets three quarters, whatever others had before.
      services.apply([
        added({ ...planOf({ name: "large", endpoints: endpointsOf(300, 3) }), frontends: [] }),
      ]);
    }),
    { numRuns: 60 },
  );
});
