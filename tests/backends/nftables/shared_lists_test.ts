import assert from "node:assert/strict";
import type { ServicePortPlan } from "../../../core/plan/plan.ts";
import { contentsOf } from "../nf_tables/table_contents.ts";
import { VirtualTable } from "../nf_tables/virtual_table.ts";
import { planOf, type PlanText } from "../plans.ts";
import { FakeTable, sizeOf, stepsOf } from "./batches.ts";
import { textsOf } from "./element_texts.ts";

const external = "external-SUSTUHLJ-default/web/tcp/http";
const noEndpoints = "no-endpoints-SUSTUHLJ-default/web/tcp/http";

/** A service port with a ClusterIP, a node port and external addresses. */
function wide(addresses: number, text: PlanText): ServicePortPlan {
  return planOf({
    clusterIP: "10.96.0.10:80",
    externalIPs: Array.from({ length: addresses }, (_, n) => `192.0.2.${n}:80`),
    nodePort: 30080,
    ...text,
  });
}

Deno.test("the many addresses of a service port share one endpoint list, its ClusterIP and node port have their own", () => {
  const texts = textsOf(wide(9, {}));
  assert.deepEqual(texts.filter((text) => !text.includes(" 192.0.2.")), [
    "service-ips: 10.96.0.10 . tcp . 80 : goto cluster-1",
    "endpoints: 10.96.0.10 . tcp . 80 . 0 : 10.1.0.1:8080",
    "cluster-ips: 10.96.0.10",
    "service-nodeports: tcp . 30080 : goto external-nodeport-1",
    "nodeport-endpoints: tcp . 30080 . 0 : 10.1.0.1:8080",
    "endpoints-OUB4D2U4-default/web/80-95: tcp . 80 . 0 : 10.1.0.1:8080",
  ]);
  assert.deepEqual(texts.filter((text) => text.includes(" 192.0.2.8 ")), [
    `service-ips: 192.0.2.8 . tcp . 80 : goto ${external}`,
    `no-endpoint-services: 192.0.2.8 . tcp . 80 : goto ${noEndpoints}`,
  ]);
});

const here = "10.1.0.1:8080@here";
const there = "10.1.1.2:8080";
const changes: Readonly<Record<string, readonly [old: PlanText, next: PlanText]>> = {
  "an endpoint is added": [{ endpoints: [here] }, { endpoints: [here, there] }],
  "an endpoint is removed": [{ endpoints: [here, there] }, { endpoints: [there] }],
  "an endpoint is replaced": [{ endpoints: [here] }, { endpoints: [there] }],
  "the last endpoint is removed": [
    { endpoints: [here] },
    { endpoints: [], internal: "reject", external: "reject" },
  ],
  "the first endpoint is added": [
    { endpoints: [], internal: "reject", external: "reject" },
    { endpoints: [here] },
  ],
  "the last endpoint on this node is removed": [
    { endpoints: [here, there], external: "local" },
    { endpoints: [there], external: "local" },
  ],
  "an endpoint with clients is added": [
    { endpoints: [here], affinitySeconds: 10 },
    { endpoints: [here, there], affinitySeconds: 10 },
  ],
  "the last endpoint with clients is removed": [
    { endpoints: [here], affinitySeconds: 10 },
    { endpoints: [], internal: "reject", external: "reject", affinitySeconds: 10 },
  ],
};

for (const [what, [old, next]] of Object.entries(changes)) {
  Deno.test(`the kernel has as much to do for two hundred addresses as for ten when ${what}`, () => {
    const sizeWith = (addresses: number) => {
      const before = wide(addresses, old);
      return sizeOf(new FakeTable([before]).apply([before, wide(addresses, next)]));
    };
    assert.equal(sizeWith(200), sizeWith(10));
    assert.ok(sizeWith(200) < 60, `${sizeWith(200)} messages and elements`);
  });
}

Deno.test("a change of the number of endpoints replaces the rule that picks one, a change of an endpoint only its slot", () => {
  const [one, two, another] = [[here], [here, there], [there]].map((endpoints) => wide(9, { endpoints }));
  const sharing = (batch: Uint8Array) => stepsOf(batch).filter((step) => step.includes("default/web"));
  const table = new FakeTable([one!]);
  assert.deepEqual(sharing(table.apply([one, two])), [
    `delete rules of ${external}`,
    `add rule to ${external}`,
    `add rule to ${external}`,
    `add rule to ${external}`,
    "add elements of endpoints-OUB4D2U4-default/web/80-95",
  ]);
  table.apply([two, one]);
  assert.deepEqual(sharing(table.apply([one, another])), [
    "delete elements of endpoints-OUB4D2U4-default/web/80-95",
    "add elements of endpoints-OUB4D2U4-default/web/80-95",
  ]);
});

Deno.test("the rule that picks an endpoint changes its map when the service port gets another number", () => {
  const [dns, http, next] = [["dns", 54], ["http", 53], ["http", 8080]].map(([portName, port]) =>
    planOf({
      portName: `${portName}`,
      externalIPs: Array.from({ length: 9 }, (_, n) => `192.0.2.${n}:${port}`),
    })
  );
  for (const neighbours of [[], [dns!]]) {
    const table = new FakeTable([...neighbours, http!]);
    const changed = new VirtualTable(table.created, table.apply([http, next]));
    const fresh = new VirtualTable(new FakeTable([...neighbours, next!]).created);
    assert.deepEqual(contentsOf(changed), contentsOf(fresh));
  }
});

Deno.test("neighbouring ports of a service share a map, which exists as long as one of them has endpoints", () => {
  const port = (number: number) => {
    const externalIPs = Array.from({ length: 9 }, (_, n) => `192.0.2.${n}:${number}`);
    return planOf({ portName: `p${number}`, externalIPs });
  };
  const [first, last, other] = [port(80), port(95), port(96)];
  const maps = (batch: Uint8Array) =>
    stepsOf(batch).filter((step) => / set .*\//.test(step)).map((step) =>
      step.replace(/-[A-Z0-9]{8}-/, "-…-")
    );
  const table = new FakeTable([first!]);
  assert.deepEqual(maps(table.created), ["add set endpoints-…-default/web/80-95"]);
  assert.deepEqual(maps(table.apply([undefined, last])), []);
  assert.deepEqual(maps(table.apply([undefined, other])), ["add set endpoints-…-default/web/96-111"]);
  assert.deepEqual(maps(table.apply([first, undefined])), []);
  assert.deepEqual(maps(table.apply([last, undefined])), ["delete set endpoints-…-default/web/80-95"]);
});
