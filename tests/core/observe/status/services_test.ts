import assert from "node:assert/strict";
import { searchServices, type ServiceQuery } from "../../../../core/observe/status/service_search.ts";
import { address, aSlice, webPort } from "../../plan/builders.ts";
import { service, slice } from "../../sync/objects.ts";
import { inForce } from "./known_services.ts";

const NO_TRAFFIC = new Map();

const everything: ServiceQuery = { search: "", sort: "name", descending: false, limit: 50, offset: 0 };

Deno.test("a row tells the addresses, ports, endpoints and policies of a service", async () => {
  const { services: [row] } = await searchServices(
    inForce([
      service("web", "10.96.0.10", {
        ports: [webPort, { name: "tls", protocol: "TCP", port: 443, nodePort: 30443 }],
        externalIPs: [address("192.0.2.1")],
        externalTrafficPolicy: "Local",
        affinitySeconds: 60,
      }),
      aSlice([
        { at: "10.1.0.1", nodeName: "here" },
        { at: "10.1.0.2", nodeName: "there" },
        { at: "10.1.0.3", ready: false },
      ], { name: "web-1", service: "web" }),
    ]),
    new Map([["default/web", { connections: 7, refused: 1 }]]),
    everything,
  );
  assert.deepEqual(row, {
    namespace: "default",
    name: "web",
    addresses: ["10.96.0.10", "192.0.2.1"],
    frontends: ["ClusterIP", "NodePort", "ExternalIP"],
    ports: ["80/TCP", "443:30443/TCP"],
    morePorts: 0,
    endpoints: { total: 3, ready: 2, local: 1 },
    internalTrafficPolicy: "Cluster",
    externalTrafficPolicy: "Local",
    affinitySeconds: 60,
    // No slice has the port tls.
    problems: ["no endpoints"],
    traffic: { connections: 7, refused: 1 },
  });
});

Deno.test("problems are named, the more serious ones first", async () => {
  const known = inForce([
    service("good", "10.96.0.1"),
    slice("good", "10.1.0.1"),
    service("none", "10.96.0.2"),
    service("broken", "10.96.0.3"),
    slice("broken", "10.1.0.1"),
    service("local", "10.96.0.4", { internalTrafficPolicy: "Local" }),
    slice("local", "10.1.0.1"),
    service("thief", "10.96.0.5", { externalIPs: [address("10.96.0.1")] }),
    slice("thief", "10.1.0.1"),
  ], ["broken"]);
  known.upsert(service("late", "10.96.0.6"));
  const { services } = await searchServices(known, NO_TRAFFIC, everything);
  assert.deepEqual(Object.fromEntries(services.map(({ name, problems }) => [name, problems])), {
    good: [],
    none: ["no endpoints"],
    broken: ["rejected"],
    local: ["no local endpoints"],
    thief: ["conflict"],
    late: ["not in force"],
  });
  const worst = await searchServices(known, NO_TRAFFIC, {
    ...everything,
    sort: "problems",
    descending: true,
  });
  assert.deepEqual(worst.services.map(({ name }) => name), [
    "broken",
    "thief",
    "none",
    "late",
    "local",
    "good",
  ]);
});

Deno.test("services are searched by every word, sorted and cut into pages", async () => {
  const names = Array.from({ length: 30 }, (_, i) => `web-${String(i).padStart(2, "0")}`);
  const known = inForce([
    ...names.map((name, i) => service(name, `10.96.1.${i}`)),
    ...names.slice(0, 3).map((name, i) => slice(name, ...["10.1.0.1", "10.1.0.2", "10.1.0.3"].slice(i))),
  ]);
  const traffic = new Map([
    ["default/web-09", { connections: 3, refused: 0 }],
    ["default/web-08", { connections: 1, refused: 2 }],
  ]);
  const find = async (query: Partial<ServiceQuery>) => {
    const { total, services } = await searchServices(known, traffic, { ...everything, ...query });
    return [total, ...services.map(({ name }) => name)];
  };
  assert.deepEqual(await find({ search: "WEB-1", limit: 2, offset: 1 }), [10, "web-11", "web-12"]);
  assert.deepEqual(await find({ search: "default/web 10.96.1.7 80/tcp" }), [1, "web-07"]);
  assert.deepEqual(await find({ search: "\\.*" }), [0]);
  assert.deepEqual(await find({ sort: "ready", descending: true, limit: 4 }), [
    30,
    "web-00",
    "web-01",
    "web-02",
    "web-03",
  ]);
  assert.deepEqual(await find({ offset: 100 }), [30]);
  assert.deepEqual(await find({ sort: "connections", descending: true, limit: 2 }), [30, "web-09", "web-08"]);
  assert.deepEqual(await find({ sort: "refused", descending: true, limit: 1 }), [30, "web-08"]);
});
