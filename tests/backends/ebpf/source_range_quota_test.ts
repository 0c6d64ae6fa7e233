import assert from "node:assert/strict";
import { BackendError } from "../../../core/backend/contract.ts";
import type { ServicePortPlan } from "../../../core/plan/plan.ts";
import { Services } from "../../../backends/ebpf/services/services.ts";
import { fakeKernel } from "./fake_kernel.ts";
import { planOf } from "./plans.ts";

const options = { balancing: "random", maglevTableSize: 101 } as const;
/** Frontends, and also source ranges. */
const CAPACITY = 100;

let host = 0;
function service(namespace: string, ranges: number): ServicePortPlan {
  host++;
  return planOf({
    namespace,
    name: `s${host}`,
    loadBalancerIPs: [`198.51.100.${host}:80`],
    sourceRanges: Array.from({ length: ranges }, (_, index) => `100.64.${host}.${index}/32`),
  });
}

const added = (plan: ServicePortPlan) => ({ key: plan.key, old: undefined, new: plan });

function rejectedBy(action: () => unknown): readonly string[] {
  try {
    action();
  } catch (error) {
    assert(error instanceof BackendError);
    return error.rejectedKeys;
  }
  return [];
}

Deno.test("the source ranges of one namespace leave half of the map to the others", () => {
  const kernel = fakeKernel(500, CAPACITY);
  const services = new Services(kernel, options, () => {});
  services.reconcile([]);
  const [first, second] = [service("greedy", 30), service("greedy", 21)];
  assert.deepEqual(rejectedBy(() => services.apply([added(first), added(second)])), [second.key]);
  assert.equal(kernel.source_ranges.entries.size, 0, "a batch is refused as a whole");
  services.apply([added(first)]);
  assert.deepEqual(rejectedBy(() => services.apply([added(second)])), [second.key]);
  services.apply([added(service("other", 50)), added(service("third", 20))]);
  const last = service("fourth", 1);
  assert.deepEqual(rejectedBy(() => services.apply([added(last)])), [last.key], "the map is full");
  // A removed service makes room.
  services.apply([{ key: first.key, old: first, new: undefined }]);
  services.apply([added(last)]);
  assert.equal(kernel.source_ranges.entries.size, 71);
});

Deno.test("a change of a service's ranges counts only what it adds", () => {
  const services = new Services(fakeKernel(500, CAPACITY), options, () => {});
  const old = service("greedy", 50);
  services.reconcile([old]);
  const fewer = { ...old, sourceRanges: old.sourceRanges!.slice(10) };
  services.apply([{ key: old.key, old, new: fewer }]);
  services.apply([added(service("greedy", 10))]);
  assert.deepEqual(rejectedBy(() => services.apply([{ key: old.key, old: fewer, new: old }])), [old.key]);
});

Deno.test("a reconcile names all services whose ranges do not fit, and changes nothing", () => {
  const kernel = fakeKernel(500, CAPACITY);
  const services = new Services(kernel, options, () => {});
  const plans = [40, 20, 10, 20].map((ranges) => service("greedy", ranges));
  services.reconcile([plans[0]!]);
  assert.deepEqual(rejectedBy(() => services.reconcile(plans)), [plans[1]!.key, plans[3]!.key]);
  assert.equal(kernel.source_ranges.entries.size, 40);
  services.apply([added(plans[2]!)]);
  assert.equal(kernel.source_ranges.entries.size, 50);
});
