import assert from "node:assert/strict";
import type { Events } from "../../../core/observe/http/api_routes.ts";
import type { EventKind } from "../../../core/observe/status/events.ts";
import type { ServiceDetail } from "../../../core/observe/status/service_detail.ts";
import type { ServicePage } from "../../../core/observe/status/service_search.ts";
import type { Status } from "../../../core/observe/status/status.ts";
import { Node } from "./support/node.ts";
import { reachable, service, slice } from "./support/objects.ts";

/** Begins connections to an address that does not answer; only their first packets are sent. */
const CONNECT = `
import socket, sys
for _ in range(int(sys.argv[2])):
    with socket.socket() as client:
        client.setblocking(False)
        client.connect_ex((sys.argv[1], 80))
`;

async function ask<Answer>(node: Node, target: string): Promise<Answer> {
  const url = `http://127.0.0.1:10249/api/v1/${target}`;
  return JSON.parse(await node.namespace.run("curl", "--silent", "--noproxy", "*", "--max-time", "5", url));
}

Deno.test("the API of the running proxy tells its services, syncs, repairs and refused objects", async () => {
  await using node = await Node.make();
  await node.write("web.json", reachable("web", "10.96.0.10"));
  await node.write("empty.json", [service("empty", "10.96.0.11"), slice("empty", [])]);
  await using proxy = node.start();
  await proxy.inForce();
  await proxy.logs(/No rules of another mode remain" mode="ebpf"/);

  const status = await ask<Status>(node, "status");
  assert.deepEqual([status.mode, status.node], ["nftables", "here"]);
  assert.deepEqual(status.source, { kind: "directory of manifests", connected: true });
  assert.deepEqual(status.objects, { services: 2, servicePorts: 2, endpoints: 1 });
  assert.deepEqual([status.lastSync?.full, status.lastSync?.reason], [true, "start"]);

  const page = await ask<ServicePage>(node, "services?sort=-problems");
  assert.deepEqual(page.services.map(({ name, problems }) => [name, ...problems]), [
    ["empty", "no endpoints"],
    ["web"],
  ]);
  const web = await ask<ServiceDetail>(node, "service?name=default/web");
  assert.deepEqual(web.ports[0]?.endpoints.map(({ address, lists }) => [address, ...lists]), [[
    "10.244.1.11",
    "cluster",
  ]]);

  await node.namespace.run("ip", "link", "add", "pods", "type", "veth", "peer", "name", "elsewhere");
  await node.namespace.run("ip", "address", "add", "192.0.2.10/24", "dev", "pods");
  for (const device of ["elsewhere", "pods"]) await node.namespace.run("ip", "link", "set", device, "up");
  await node.namespace.run("ip", "route", "add", "10.0.0.0/8", "dev", "pods");
  await node.namespace.run("python3", "-c", CONNECT, "10.96.0.10", "3");
  await node.namespace.run("python3", "-c", CONNECT, "10.96.0.11", "2");
  const traffic = async () =>
    (await ask<ServicePage>(node, "services?sort=-connections")).services.map((
      { name, traffic },
    ) => [name, traffic?.connections, traffic?.refused]);
  await proxy.until(async () => (await traffic())[0]?.[1] === 3, "connections");
  assert.deepEqual(await traffic(), [["web", 3, 0], ["empty", 0, 2]]);

  await node.namespace.run("nft", "flush", "ruleset");
  await proxy.until(async () => (await ask<Status>(node, "status")).repairs.count === 1, "repair");
  await node.write("bad.json", [service("bad", "nonsense")]);
  const texts = async (kind: EventKind) =>
    (await ask<Events>(node, "events")).events.filter((event) => event.kind === kind).map(({ text }) => text);
  await proxy.until(
    async () => (await texts("message")).some((text) => /default\/bad.*nonsense/.test(text)),
    "event of the refused object",
  );
  const [repair = ""] = await texts("repair");
  assert.match(repair, /^table .* deleted by nft \(pid \d+\); repaired in/);
});
