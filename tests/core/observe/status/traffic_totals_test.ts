import assert from "node:assert/strict";
import { planKey } from "../../../../core/plan/plan.ts";
import { Rates } from "../../../../core/observe/status/rates.ts";
import { totalsByService } from "../../../../core/observe/status/traffic_totals.ts";

const port = {
  namespace: "default",
  name: "web",
  portName: "http",
  protocol: "TCP",
  family: "IPv4",
} as const;

Deno.test("the traffic of a service is the sum over its ports, families and frontends", async () => {
  const totals = await totalsByService({
    services: [
      {
        key: planKey(port),
        frontend: "ClusterIP",
        connections: 5,
        refused: { "no-endpoints": 1, "source-range": 2 },
        toEndpoints: { packets: 10, bytes: 1000 },
      },
      { key: planKey({ ...port, family: "IPv6" }), frontend: undefined, connections: 2, refused: {} },
      { key: planKey({ ...port, portName: "" }), frontend: "NodePort", connections: 1, refused: {} },
      { key: planKey({ ...port, name: "web2" }), frontend: "NodePort", connections: 9, refused: {} },
    ],
    unallocated: {},
  });
  assert.deepEqual([...totals], [
    ["default/web", { connections: 8, refused: 3, toEndpoints: { packets: 10, bytes: 1000 } }],
    ["default/web2", { connections: 9, refused: 0 }],
  ]);
});

Deno.test("rates come from two readings of a counter, also if it starts again at 0", () => {
  const rates = new Rates();
  rates.read([["a", 100]], 1000);
  assert.equal(rates.current("a"), undefined);
  rates.read([["a", 110], ["b", 4]], 3000);
  rates.read([["a", 3], ["b", 4]], 4000);
  assert.deepEqual([rates.of("a"), rates.of("b"), rates.of("c")], [[5, 3], [0], []]);
});

Deno.test("rates remember sixty readings, and nothing of a counter that is gone", () => {
  const rates = new Rates();
  for (let i = 0; i < 100; i++) rates.read([["a", i]], i * 1000);
  assert.equal(rates.of("a").length, 60);
  rates.read([], 100_000);
  assert.deepEqual(rates.of("a"), []);
});
