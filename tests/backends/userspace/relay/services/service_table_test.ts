import assert from "node:assert/strict";
import {
  endpointsOf,
  type FrontendEntry,
  listFor,
  ServiceTable,
} from "../../../../../backends/userspace/relay/services/service_table.ts";
import type { PlanKey } from "../../../../../core/plan/plan.ts";
import { address, frontend, packed, relayedService, service } from "../support/services.ts";

const NO_DIRECT = { add: () => {}, remove: () => {}, settle: () => {} };
const VIP = address("10.96.0.10");
const API = "default/api/TCP/IPv4" as PlanKey;

Deno.test("a frontend is found by family, protocol, address and port", () => {
  const table = new ServiceTable(NO_DIRECT);
  table.update([relayedService()], []);
  assert.equal(table.find("IPv4", "TCP", VIP, 80)?.service.spec.key, "default/web/TCP/IPv4");
  assert.equal(table.find("IPv4", "TCP", VIP, 81), undefined);
  assert.equal(table.find("IPv4", "UDP", VIP, 80), undefined);
  assert.equal(table.find("IPv4", "TCP", address("10.96.0.11"), 80), undefined);
});

Deno.test("a node port answers on every address, except where an address has the port itself", () => {
  const table = new ServiceTable(NO_DIRECT);
  table.update([
    relayedService({ frontends: [frontend({ kind: "NodePort", address: undefined, port: 30080 })] }),
    relayedService({ key: API, frontends: [frontend({ kind: "ExternalIP", port: 30080 })] }),
  ], []);
  assert.equal(table.find("IPv4", "TCP", address("192.0.2.7"), 30080)?.frontend.kind, "NodePort");
  assert.equal(table.find("IPv4", "TCP", VIP, 30080)?.service.spec.key, API);
});

Deno.test("a change keeps the counters, and a removed service port is not found", () => {
  const table = new ServiceTable(NO_DIRECT);
  table.update([relayedService()], []);
  const entry = table.find("IPv4", "TCP", VIP, 80);
  assert(entry !== undefined);
  entry.service.connections = 7;
  table.update([relayedService({ cluster: packed("10.1.0.2:80") })], []);
  assert.equal([...table.counters()][0]?.connections, 7);
  assert.deepEqual(endpointsOf(entry.service, "cluster"), packed("10.1.0.2:80"));
  table.retain([]);
  assert.equal(table.find("IPv4", "TCP", VIP, 80), undefined);
  assert.deepEqual([...table.counters()], []);
});

Deno.test("a frontend that changes hands in one update is the new service's", () => {
  const table = new ServiceTable(NO_DIRECT);
  table.update([relayedService(), relayedService({ key: API, frontends: [] })], []);
  table.update([relayedService({ key: API }), relayedService({ frontends: [] })], []);
  assert.equal(table.find("IPv4", "TCP", VIP, 80)?.service.spec.key, API);
});

Deno.test("frontends with a listener of their own are announced, and settled after each change", () => {
  const events: string[] = [];
  const record = (what: string) => ({ frontend: { port } }: FrontendEntry) =>
    void events.push(`${what} ${port}`);
  const table = new ServiceTable({
    add: record("add"),
    remove: record("remove"),
    settle: () => void events.push("settle"),
  });
  const listen = { address: address("127.64.0.1"), port: 80 };
  table.update([relayedService({ frontends: [frontend({ listen })] })], []);
  table.update([relayedService({ frontends: [frontend({ listen, port: 81 })] })], []);
  assert.deepEqual(events, ["add 80", "settle", "remove 80", "add 81", "settle"]);
  assert.equal(table.find("IPv4", "TCP", VIP, 80), undefined);
});

Deno.test("the side of a client decides about the endpoints", () => {
  const entry = { service: service(), frontend: frontend({ outside: "local", inside: "cluster" }) };
  assert.equal(listFor(entry, "outside"), "local");
  assert.equal(listFor(entry, "inside"), "cluster");
  assert.equal(endpointsOf(entry.service, "none").length, 0);
});
