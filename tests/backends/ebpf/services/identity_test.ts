import assert from "node:assert/strict";
import { Identity, MAX_ID } from "../../../../backends/ebpf/services/identity.ts";
import { Services } from "../../../../backends/ebpf/services/services.ts";
import { OFFSET, readService, viewOf } from "../../../../backends/ebpf/maps/layout.ts";
import type { ServicePortPlan } from "../../../../core/plan/plan.ts";
import { type FakeKernel, fakeKernel } from "./fake_kernel.ts";
import { planOf } from "../plans.ts";

const options = { balancing: "random", maglevTableSize: 7 } as const;

/** A new process on the same maps. */
function restarted(kernel: FakeKernel, plans: readonly ServicePortPlan[]): Services {
  const services = new Services(kernel, options, () => {});
  services.reconcile(plans);
  return services;
}

/** Ids and generations of all frontends. */
function numbersIn(kernel: FakeKernel): readonly { readonly id: number; readonly generation: number }[] {
  return [...kernel.services.entries.values()]
    .map((value) => readService(viewOf(value), 0))
    .filter(({ id }) => id !== 0);
}

const removal = (plan: ServicePortPlan) => ({ key: plan.key, old: plan, new: undefined });

Deno.test("a new service gets neither the id nor the generation of a deleted one, also after a restart", () => {
  const [first, second, third] = ["first", "second", "third"].map((name, index) =>
    planOf({ name, clusterIP: `10.96.0.${index + 1}:80`, endpoints: [`10.1.0.${index + 1}:80`] })
  ) as [ServicePortPlan, ServicePortPlan, ServicePortPlan];
  const kernel = fakeKernel();
  const services = restarted(kernel, [first, second]);
  const before = numbersIn(kernel);
  services.apply([removal(second)]);
  restarted(kernel, [first, third]);
  const [, added] = numbersIn(kernel);
  assert(added !== undefined);
  assert(before.every(({ id, generation }) => id !== added.id && generation !== added.generation));
  // A service that has the name of a deleted one is another one.
  restarted(kernel, [first]);
  restarted(kernel, [first, third]);
  assert.notEqual(numbersIn(kernel)[1]?.id, added.id);
});

Deno.test("a service keeps its id over a restart, whatever its address and endpoints are then", () => {
  const before = planOf({ name: "web", clusterIP: "10.96.0.1:80", endpoints: ["10.1.0.1:80"] });
  const kernel = fakeKernel();
  restarted(kernel, [before]);
  const [{ id, generation } = { id: 0, generation: 0 }] = numbersIn(kernel);
  restarted(kernel, [planOf({ name: "web", clusterIP: "10.96.0.2:80", endpoints: ["10.1.0.2:80"] })]);
  const [after] = numbersIn(kernel);
  assert.equal(after?.id, id);
  assert.notEqual(after?.generation, generation);
});

Deno.test("a service does not inherit the id of the one that had its address before", () => {
  const kernel = fakeKernel();
  const same = { clusterIP: "10.96.0.1:80", endpoints: ["10.1.0.1:80"] };
  restarted(kernel, [planOf({ name: "old", ...same })]);
  const [old] = numbersIn(kernel);
  restarted(kernel, [planOf({ name: "new", ...same })]);
  const [next] = numbersIn(kernel);
  assert(old !== undefined && next !== undefined);
  assert.notEqual(next.id, old.id);
  assert.notEqual(next.generation, old.generation);
  assert.equal(kernel.owners.entries.size, 1, "only the owners in force remain");
});

Deno.test("a rejected change uses up numbers, but leaves no owner", () => {
  const kernel = fakeKernel(1, 100);
  const services = restarted(kernel, []);
  const plan = planOf({ clusterIP: "10.96.0.1:80", endpoints: ["10.1.0.1:80", "10.1.0.2:80"] });
  assert.throws(() => services.apply([{ key: plan.key, old: undefined, new: plan }]));
  assert.equal(services.owners.size, 0);
  assert.equal(kernel.owners.entries.size, 0);
});

Deno.test("numbers start again after the largest one, and skip ids in use", () => {
  const memory = new DataView(new ArrayBuffer(8));
  const identity = new Identity(memory);
  memory.setUint32(OFFSET.identity.last_id, MAX_ID - 1, true);
  memory.setUint32(OFFSET.identity.last_generation, 0xffff_fffe, true);
  const used = new Set([1, 2, 4]);
  const ids = Array.from({ length: 4 }, () => identity.nextId((id) => used.has(id)));
  assert.deepEqual(ids, [MAX_ID, 3, 5, 6]);
  assert.deepEqual([identity.nextGeneration(), identity.nextGeneration()], [0xffff_ffff, 1]);
});

Deno.test("numbers that services have are skipped if the counter is lost", () => {
  const kernel = fakeKernel();
  const plans = ["a", "b"].map((name, index) =>
    planOf({ name, clusterIP: `10.96.0.${index + 1}:80`, endpoints: [`10.1.0.${index + 1}:80`] })
  );
  restarted(kernel, plans);
  const before = numbersIn(kernel);
  for (let byte = 0; byte < 8; byte++) kernel.identity.setUint8(byte, 0);
  kernel.owners.entries.clear();
  restarted(kernel, plans);
  const after = numbersIn(kernel);
  assert(after.every(({ id }) => before.every((old) => old.id !== id)));
  assert(after.every(({ generation }) => before.every((old) => old.generation !== generation)));
});
