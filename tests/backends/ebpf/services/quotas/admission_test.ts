import assert from "node:assert/strict";
import fc from "fast-check";
import { BackendError, type PlanChange } from "../../../../../core/backend/contract.ts";
import type { PlanKey, ServicePortPlan } from "../../../../../core/plan/plan.ts";
import { Services } from "../../../../../backends/ebpf/services/services.ts";
import { type FakeKernel, fakeKernel, meaningOf } from "../fake_kernel.ts";
import { planOf } from "../../plans.ts";

const options = { balancing: "random", maglevTableSize: 101 } as const;
/** Frontends, and also source ranges. */
const CAPACITY = 128;

function start(kernel: FakeKernel = fakeKernel(5000, CAPACITY), plans: readonly ServicePortPlan[] = []) {
  const services = new Services(kernel, options, () => {});
  services.reconcile(plans);
  return { kernel, services };
}

/** Service ports with one frontend each. */
function nodePorts(namespace: string, count: number, first = 31000): readonly ServicePortPlan[] {
  return Array.from({ length: count }, (_, index) => {
    const nodePort = first + index;
    return planOf({ namespace, name: `s${nodePort}`, nodePort });
  });
}

let host = 0;
function restricted(namespace: string, ranges: number): ServicePortPlan {
  host++;
  return planOf({
    namespace,
    name: `s${host}`,
    loadBalancerIPs: [`198.51.100.${host}:80`],
    sourceRanges: Array.from({ length: ranges }, (_, index) => `100.64.${host}.${index}/32`),
  });
}

const added = (plan: ServicePortPlan) => ({ key: plan.key, old: undefined, new: plan });
const removed = (plan: ServicePortPlan) => ({ key: plan.key, old: plan, new: undefined });
const keysOf = (plans: readonly ServicePortPlan[]) => plans.map(({ key }) => key);

function rejectionOf(action: () => unknown): BackendError | undefined {
  try {
    action();
  } catch (error) {
    assert(error instanceof BackendError);
    return error;
  }
  return undefined;
}

const rejectedBy = (action: () => unknown): readonly string[] => rejectionOf(action)?.rejectedKeys ?? [];

/** Reconciles as the sync loop does: without the plans that are named. @returns those, per pass */
function reconcileAll(services: Services, plans: readonly ServicePortPlan[]): readonly (readonly string[])[] {
  const passes: (readonly string[])[] = [];
  let rest = plans;
  for (;;) {
    const named = rejectedBy(() => services.reconcile(rest));
    if (named.length === 0) return passes;
    passes.push(named);
    rest = rest.filter(({ key }) => !named.includes(key));
  }
}

Deno.test("a start names in one pass exactly the service ports of the large namespace that do not fit", () => {
  const tenant = nodePorts("tenant", 250);
  const web = planOf({ namespace: "other", clusterIP: "10.96.0.10:80" });
  const expected = keysOf(tenant.slice(94));
  for (const plans of [[web, ...tenant], [...tenant, web], [...tenant.toReversed(), web]]) {
    const { kernel, services } = start();
    assert.deepEqual(reconcileAll(services, plans), [expected]);
    assert.equal(kernel.services.entries.size, 96, "three quarters, with the ClusterIP and its unused ports");
  }
  const { services } = start();
  const error = rejectionOf(() => services.reconcile([web, ...tenant]));
  assert.match(
    error?.message ?? "",
    /tenant\/s31094:http and 155 other service ports: 32 of 128 are free, and its namespace has 94.*--ebpf-max-frontends/,
  );
});

Deno.test("after one namespace has taken all that it gets, others get new services and changes", () => {
  const { kernel, services } = start();
  const tenant = nodePorts("tenant", 100);
  assert.deepEqual(rejectedBy(() => services.apply(tenant.map(added))), keysOf(tenant.slice(96)));
  assert.equal(kernel.services.entries.size, 0, "a batch is rejected as a whole");
  services.apply(tenant.slice(0, 96).map(added));
  services.apply(nodePorts("other", 16, 32000).map(added));
  services.apply(nodePorts("third", 8, 32100).map(added));
  const [more] = nodePorts("tenant", 1, 32200);
  assert.deepEqual(rejectedBy(() => services.apply([added(more!)])), [more!.key]);
  // Each that goes makes room for another one of the same namespace, although room is scarce.
  services.apply([removed(tenant[0]!)]);
  assert.deepEqual(rejectedBy(() => services.apply([added(more!)])), [more!.key], "120 of 128 are used");
});

Deno.test("a batch rejects no change that takes no more, or whose namespace has little", () => {
  const web = planOf({ namespace: "other", nodePort: 30080 });
  const tenant = nodePorts("tenant", 95);
  const { services } = start(undefined, [web, ...tenant]);
  const moved = { ...web, ...planOf({ namespace: "other", nodePort: 30080, endpoints: ["10.1.0.9:8080"] }) };
  const own = { ...tenant[0]!, affinitySeconds: 10 };
  const late = nodePorts("tenant", 3, 32000);
  const changes: PlanChange[] = [
    ...late.map(added),
    { key: web.key, old: web, new: moved },
    { key: own.key, old: tenant[0], new: own },
    ...nodePorts("third", 3, 32100).map(added),
  ];
  assert.deepEqual(rejectedBy(() => services.apply(changes)), keysOf(late));
  services.apply(changes.slice(3));
});

Deno.test("what is in force stays in force over a restart, and before what smaller namespaces ask for", () => {
  const tenant = nodePorts("tenant", 96);
  const { kernel, services } = start(undefined, tenant);
  services.apply(nodePorts("other", 16, 32000).map(added));
  const inForce = [...tenant, ...nodePorts("other", 16, 32000)];
  const rejected = nodePorts("tenant", 10, 32200);
  const later = nodePorts("third", 20, 30000);
  const restarted = new Services(kernel, options, () => {});
  const passes = reconcileAll(restarted, [...later, ...rejected, ...inForce]);
  assert.deepEqual(passes, [[...keysOf(later.slice(8)), ...keysOf(rejected)]]);
  const roomy = start(fakeKernel(5000, 1000), [...inForce, ...later.slice(0, 8)]);
  assert.deepEqual(meaningOf(kernel), meaningOf(roomy.kernel));
});

Deno.test("service ports with one ClusterIP share the entry for its unused ports", () => {
  const { kernel, services } = start();
  const ports = Array.from(
    { length: 95 },
    (_, index) => planOf({ portName: `p${index}`, clusterIP: `10.96.0.1:${80 + index}` }),
  );
  services.apply(ports.map(added));
  assert.equal(kernel.services.entries.size, 96);
  const own = planOf({ name: "own", clusterIP: "10.96.0.2:80" });
  assert.deepEqual(rejectedBy(() => services.apply([added(own)])), [own.key]);
  services.apply([removed(ports[0]!), removed(ports[1]!)]);
  services.apply([added(own)]);
  assert.equal(kernel.services.entries.size, 96);
});

Deno.test("a full map exchanges frontends, because those that go are deleted first", () => {
  const plans = Array.from({ length: CAPACITY }, (_, index) => nodePorts(`n${index}`, 1, 31000 + index)[0]!);
  const { kernel, services } = start();
  for (const plan of plans) rejectedBy(() => services.apply([added(plan)]));
  const { size } = kernel.services.entries;
  assert.equal(size, CAPACITY - 1);
  const max = () => assert(kernel.services.entries.size <= CAPACITY);
  kernel.services.onChange = max;
  const [first, second] = [plans.slice(0, 2), nodePorts("new", 2, 30000)];
  const changes = first.map((plan, index) => ({
    key: plan.key,
    old: plan,
    new: { ...plan, frontends: second[index]!.frontends },
  }));
  services.apply(changes);
  assert.equal(kernel.services.entries.size, size);
});

Deno.test("room that becomes scarce is said once, and shown by metrics", () => {
  const { services } = start();
  assert.deepEqual(services.warnings("news"), []);
  services.apply(nodePorts("tenant", 96).map(added));
  services.apply(nodePorts("other", 1, 32000).map(added));
  const [warning = "", ...others] = services.warnings("news");
  assert.match(
    warning,
    /less than a quarter .* addresses and ports .* namespace tenant has most.*--ebpf-max-fr/,
  );
  assert.deepEqual([others, services.warnings("news"), services.warnings("all").length], [[], [], 1]);
  const valuesOf = (name: string) =>
    services.metrics().find((metric) => metric.name === name)?.samples.map(({ value }) => value);
  assert.deepEqual(valuesOf("ebpf_frontends"), [97, 31]);
  assert.equal(valuesOf("ebpf_largest_namespace_entries")?.[0], 96);
});

Deno.test("source ranges are shared in the same way, and a service whose ranges do not fit is rejected as a whole", () => {
  const { kernel, services } = start();
  const [first, second, third] = [
    restricted("tenant", 60),
    restricted("tenant", 40),
    restricted("tenant", 36),
  ];
  assert.deepEqual(rejectedBy(() => services.apply([added(first), added(second)])), [second.key]);
  assert.deepEqual([kernel.source_ranges.entries.size, kernel.services.entries.size], [0, 0]);
  services.apply([added(first), added(third)]);
  services.apply([added(restricted("other", 16))]);
  const error = rejectionOf(() => services.apply([added(restricted("other", 1))]));
  assert.match(error?.message ?? "", /loadBalancerSourceRanges of service port other\/.*16 of 128 are free/);
  // A change counts what it adds.
  const fewer = { ...first, sourceRanges: first.sourceRanges!.slice(30) };
  services.apply([{ key: first.key, old: first, new: fewer }]);
  const passes = reconcileAll(new Services(kernel, options, () => {}), [first, third]);
  assert.deepEqual(passes, [], "96 of 128");
});

Deno.test("the counts are those of the map after any batches, and a rejected batch changes nothing", () => {
  const ports = fc.integer({ min: 0, max: 30 });
  const steps = fc.array(fc.dictionary(fc.constantFrom("a", "b", "c", "d"), ports), { maxLength: 12 });
  fc.assert(
    fc.property(steps, (steps) => {
      const { kernel, services } = start(fakeKernel(5000, 64));
      let inForce = new Map<PlanKey, ServicePortPlan>();
      for (const step of steps) {
        const desired = new Map(
          Object.entries(step).flatMap(([namespace, count]) => {
            const index = namespace.charCodeAt(0) - 96;
            const plans = nodePorts(namespace, count, 30000 + index * 100).map((plan, n) => {
              const text = { namespace, name: plan.name, clusterIP: `10.96.${index}.${n % 7}:${80 + n}` };
              return { ...plan, frontends: [...plan.frontends, ...planOf(text).frontends] };
            });
            return plans.map((plan) => [plan.key, plan] as const);
          }),
        );
        const changes = [...new Set([...inForce.keys(), ...desired.keys()])].map((key) => ({
          key,
          old: inForce.get(key),
          new: desired.get(key),
        })).filter((change) => change.old === undefined || change.new === undefined);
        const before = meaningOf(kernel);
        const named = rejectedBy(() => services.apply(changes));
        const rest = changes.filter(({ key }) => !named.includes(key));
        if (named.length > 0) {
          assert.deepEqual(meaningOf(kernel), before);
          assert.deepEqual(
            rejectedBy(() => services.apply(rest)),
            [],
            "those that fit do so without the others",
          );
        }
        inForce = new Map(inForce);
        for (const { key, new: next } of rest) {
          if (next === undefined) inForce.delete(key);
          else inForce.set(key, next);
        }
        const [frontends] = services.metrics();
        assert.equal(frontends?.samples[0]?.value, kernel.services.entries.size);
        assert.deepEqual(reconcileAll(new Services(kernel, options, () => {}), [...inForce.values()]), []);
      }
    }),
    { numRuns: 60 },
  );
});
