import assert from "node:assert/strict";
import { busiestRows, readConnections } from "../../../../core/commands/status/busiest.ts";
import { Rates } from "../../../../core/observe/status/rates.ts";
import { searchServices } from "../../../../core/observe/status/service_search.ts";
import { inForce } from "../../observe/status/known_services.ts";
import { service } from "../../sync/objects.ts";

async function rowsWith(connections: Readonly<Record<string, number>>) {
  const names = Object.keys(connections);
  const traffic = new Map(
    names.map((name) => [`default/${name}`, { connections: connections[name] ?? 0, refused: 0 }]),
  );
  const known = inForce(names.map((name, i) => service(name, `10.96.0.${i}`)));
  const query = { search: "", sort: "name", descending: false, limit: 50, offset: 0 } as const;
  return (await searchServices(known, traffic, query)).services;
}

Deno.test("the busiest services are those with the most connections, and after a second reading those with the highest rate", async () => {
  const rates = new Rates();
  const first = await rowsWith({ old: 5000, idle: 0, new: 10 });
  readConnections(first, rates, 0);
  assert.deepEqual(busiestRows(first, rates), [
    ["BUSIEST SERVICES", "CONNECTIONS", "REFUSED"],
    ["default/old", "5 k", "0"],
    ["default/new", "10", "0"],
  ]);
  const second = await rowsWith({ old: 5002, idle: 0, new: 30 });
  readConnections(second, rates, 2000);
  assert.deepEqual(busiestRows(second, rates), [
    ["BUSIEST SERVICES", "CONNECTIONS", "REFUSED", "PER SECOND", ""],
    ["default/new", "30", "0", "10", "█"],
    ["default/old", "5 k", "0", "1", "█"],
  ]);
});

Deno.test("services without connections are not listed, and there are at most ten", async () => {
  assert.deepEqual(busiestRows(await rowsWith({ idle: 0 }), new Rates()), []);
  const many = Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`s${i}`, i + 1]));
  assert.equal(busiestRows(await rowsWith(many), new Rates()).length, 11);
});
