import assert from "node:assert/strict";
import { Services } from "../../../../../backends/ebpf/services/services.ts";
import { readService, SERVICE, viewOf } from "../../../../../backends/ebpf/maps/layout.ts";
import type { ServicePortPlan } from "../../../../../core/plan/plan.ts";
import { type FakeKernel, fakeKernel } from "../fake_kernel.ts";
import { planOf } from "../../plans.ts";

/** 101 slots per table, and a capacity for ten tables, of which tables may use 7.5. */
const random = { balancing: "random", maglevTableSize: 101 } as const;
const maglev = { ...random, balancing: "maglev" } as const;
const SLOTS = 1010;

let host = 0;
/** A UDP service, whose block has no list of serving endpoints beside its table. */
function service(namespace: string, balancing?: "maglev"): ServicePortPlan {
  host++;
  const plan = planOf({
    name: `s${host}`,
    protocol: "UDP",
    clusterIP: `10.96.${host >> 8}.${host & 255}:53`,
    endpoints: [`10.1.${host >> 8}.${host & 255}:53`],
  });
  const key = plan.key.replace("default/", `${namespace}/`) as typeof plan.key;
  return { ...plan, namespace, key, balancing, servingEndpoints: [] };
}

const added = (plan: ServicePortPlan) => ({ key: plan.key, old: undefined, new: plan });

function tablesIn(kernel: FakeKernel): number {
  const services = [...kernel.services.entries.values()].map((value) => readService(viewOf(value), 0));
  return services.filter(({ flags, cluster }) => flags & SERVICE.MAGLEV && cluster.count === 101).length;
}

function started(options: typeof random | typeof maglev, plans: readonly ServicePortPlan[] = []) {
  const kernel = fakeKernel(SLOTS);
  const services = new Services(kernel, options, () => {});
  services.reconcile(plans);
  return { kernel, services };
}

Deno.test("tables of one namespace leave room for those of others, and for plain lists of all", () => {
  const { kernel, services } = started(random);
  const greedy = Array.from({ length: 20 }, () => service("greedy", "maglev"));
  services.apply(greedy.map(added));
  assert.equal(tablesIn(kernel), 3, "half of the 7 tables that fit");
  services.apply(Array.from({ length: 20 }, () => added(service("other", "maglev"))));
  assert.equal(tablesIn(kernel), 5, "half of the 4 that were left");
  // 250 lists of one endpoint fit into the reserve.
  const plain = Array.from({ length: 200 }, () => service("plain"));
  services.apply(plain.map(added));
  assert.equal([...services.owners].length, 240);
  const valuesOf = (name: string) => services.metrics().find((metric) => metric.name === name)?.samples;
  const slots = valuesOf("ebpf_endpoint_slots")?.map(({ labels, value }) => [labels[0], value]);
  assert.deepEqual(slots, [["list", 35 + 200], ["table", 505], ["free", SLOTS - 740]]);
  assert.deepEqual(valuesOf("ebpf_services_without_tables")?.[0]?.value, 35);
});

Deno.test("the default balancing of the node is limited only by the reserve", () => {
  const { kernel } = started(maglev, Array.from({ length: 20 }, () => service("default")));
  assert.equal(tablesIn(kernel), 7);
});

Deno.test("a service without room for its table is balanced at random over all endpoints, and named once", () => {
  const { kernel, services } = started(random);
  const plans = Array.from({ length: 4 }, () => service("greedy", "maglev"));
  services.apply(plans.map(added));
  const [text = ""] = services.warnings("news");
  assert.match(
    text,
    /tables of 1 service ports, .* at random: greedy\/s\d+:http\. Increase --ebpf-max-endpoints/,
  );
  const last = plans.at(-1);
  assert(last !== undefined);
  const fallback = [...kernel.services.entries.values()]
    .map((value) => readService(viewOf(value), 0))
    .filter(({ id, cluster }) => id !== 0 && cluster.count === 1);
  assert.equal(fallback.length, 1);
  assert.equal(fallback[0]!.flags & SERVICE.MAGLEV, 0);
  assert.deepEqual(services.warnings("news"), []);
  assert.equal(services.warnings("all").length, 1);
  const limited = plans.flatMap(({ key }) => services.limitationsOf(key));
  assert.deepEqual(limited.map(({ cause }) => cause), ["no-room-for-table"]);
});

Deno.test("tables and fallbacks stay over a reconcile and a restart, and a fallback becomes a table when there is room", () => {
  const { kernel, services } = started(random);
  const plans = Array.from({ length: 5 }, () => service("greedy", "maglev"));
  services.apply(plans.map(added));
  assert.equal(tablesIn(kernel), 3);
  assert.deepEqual(services.reconcile(plans).differences, []);
  const later = new Services(kernel, random, () => {});
  assert.deepEqual(later.reconcile(plans).differences, []);
  assert.equal(tablesIn(kernel), 3);
  // A change of endpoints does not cost a service its table.
  const [first, ...others] = plans;
  assert(first !== undefined);
  const [endpoint] = first.clusterEndpoints;
  assert(endpoint !== undefined);
  const changed = { ...first, clusterEndpoints: [{ ...endpoint, port: 54 }] };
  later.apply([{ key: first.key, old: first, new: changed }]);
  assert.equal(tablesIn(kernel), 3);
  later.apply([{ key: first.key, old: changed, new: undefined }]);
  assert.equal(tablesIn(kernel), 2);
  const restart = new Services(kernel, random, () => {}).reconcile(others);
  assert.equal(restart.differences.length, 1);
  assert.equal(tablesIn(kernel), 3);
});
