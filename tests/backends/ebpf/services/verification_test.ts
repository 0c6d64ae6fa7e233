import assert from "node:assert/strict";
import { Services } from "../../../../backends/ebpf/services/services.ts";
import { SIZE } from "../../../../backends/ebpf/maps/layout.ts";
import { everyKindOfPlan } from "../../everything.ts";
import { type FakeKernel, fakeKernel } from "./fake_kernel.ts";
import { planOf } from "../plans.ts";

const random = { balancing: "random", maglevTableSize: 7 } as const;
const maglev = { balancing: "maglev", maglevTableSize: 7 } as const;

const web = planOf({ name: "web", clusterIP: "10.96.0.10:80", endpoints: ["10.1.0.1:80"] });
const dns = planOf({
  name: "dns",
  protocol: "UDP",
  loadBalancerIPs: ["198.51.100.1:53"],
  sourceRanges: ["10.0.0.0/8"],
  endpoints: ["10.1.0.2:53"],
});

/** Everything that a round finds. */
function found(services: Services): readonly string[] {
  return [...services.verification()].filter((what) => what !== undefined);
}

function programmed(plans = [web, dns]): { kernel: FakeKernel; services: Services } {
  const kernel = fakeKernel();
  const services = new Services(kernel, random, () => {});
  services.reconcile(plans);
  return { kernel, services };
}

for (const options of [random, maglev]) {
  Deno.test(`nothing is found in maps that nobody changed (${options.balancing})`, () => {
    const services = new Services(fakeKernel(), options, () => {});
    services.reconcile(everyKindOfPlan);
    assert.deepEqual(found(services), []);
  });
}

Deno.test("entries that another process changed, removed or added are found", () => {
  const { kernel, services } = programmed();
  const other = programmed([
    planOf({ name: "other", clusterIP: "10.96.0.10:80", endpoints: ["10.9.0.1:80", "10.9.0.2:80"] }),
    planOf({ name: "extra", clusterIP: "10.96.0.11:80", endpoints: ["10.9.0.3:80", "10.9.0.4:80"] }),
  ]);
  // The first service port of either process has the same id.
  for (const [key, value] of other.kernel.services.entries) kernel.services.entries.set(key, value);
  assert.deepEqual(found(services), [
    "10.96.0.10:80/TCP of default/web:http was changed",
    "10.96.0.11:80/TCP was added",
    "the entry for unused ports of 10.96.0.11 was added",
  ]);
  services.reconcile([web, dns]);
  assert.deepEqual(found(services), []);
  kernel.services.entries.clear();
  assert.equal(found(services).length, 2);
});

Deno.test("changed endpoints and removed source ranges are found", () => {
  const { kernel, services } = programmed();
  kernel.endpoints.setUint8(SIZE.address - 1, 99);
  assert.deepEqual(found(services), ["endpoints of default/web:http were changed"]);
  services.reconcile([web, dns]);
  kernel.source_ranges.entries.clear();
  assert.deepEqual(found(services), ["source ranges of default/dns:http were removed"]);
});

Deno.test("changes of services during a round are no foreign changes", () => {
  const { services } = programmed();
  const round = services.verification();
  assert.equal(round.next().value, undefined);
  services.apply([
    { key: dns.key, old: dns, new: undefined },
    { key: web.key, old: web, new: { ...web, clusterEndpoints: [] } },
  ]);
  assert.deepEqual([...round].filter((what) => what !== undefined), []);
});
