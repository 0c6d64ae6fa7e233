import assert from "node:assert/strict";
import { LocalhostRelays, relayTargets } from "../../../../backends/nftables/localhost/relays.ts";
import type { InForce, PlanChange } from "../../../../core/backend/contract.ts";
import { formatSocketAddress } from "../../../../core/net/address.ts";
import type { ServicePortPlan } from "../../../../core/plan/plan.ts";
import { desiredOf, planOf, type PlanText } from "../../plans.ts";
import { answerOf, freePort, isRefused, Server } from "./connections.ts";

Deno.test("connections to a node port on 127.0.0.1 and ::1 are spread over the endpoints", async () => {
  for (const family of ["IPv4", "IPv6"] as const) {
    using servers = new Servers(family === "IPv4" ? "127.0.0.1" : "::1", 3);
    using relays = relaysOf(family);
    const port = freePort(servers.host);
    relays.start(webPlan(port, servers.sockets));
    const answers = new Set<string>();
    while (answers.size < 3) answers.add(await answerOf(servers.host, port));
    assert.deepEqual([...answers].sort(), servers.names);
  }
});

Deno.test("data arrives after the client has finished sending, and the end is passed on", async () => {
  using server = new Server("127.0.0.1", "echo");
  using relays = relaysOf("IPv4");
  const port = freePort("127.0.0.1");
  relays.start(webPlan(port, [server.socket]));
  const long = "0123456789".repeat(50_000);
  assert.equal(await answerOf("127.0.0.1", port, long), long);
});

Deno.test("a node port is served while it has endpoints; connections outlive changes of the endpoints", async () => {
  using servers = new Servers("127.0.0.1", 2);
  const [first = "", second = ""] = servers.sockets;
  using relays = relaysOf("IPv4");
  const port = freePort("127.0.0.1");
  relays.start();
  assert.ok(await isRefused("127.0.0.1", port));

  relays.change(undefined, webPlan(port, [first]));
  using open = await Deno.connect({ hostname: "127.0.0.1", port });
  const seen = new Uint8Array(16);
  assert.ok(await open.read(seen));
  relays.change(webPlan(port, [first]), webPlan(port, [second]));
  assert.equal(await answerOf("127.0.0.1", port), servers.names[1]);
  await open.write(new TextEncoder().encode("x"));
  assert.ok(await open.read(seen), "the connection to the first endpoint continues");

  const empty = planOf({ nodePort: port, external: "reject", endpoints: [] });
  relays.change(webPlan(port, [second]), empty);
  assert.ok(await isRefused("127.0.0.1", port));
  assert.equal(await open.read(seen).catch(() => null), null, "the end of the relay ends its connections");
});

Deno.test("with affinity all clients stay on one endpoint, until it is gone", async () => {
  using servers = new Servers("127.0.0.1", 3);
  using relays = relaysOf("IPv4");
  const port = freePort("127.0.0.1");
  const sticky = (sockets: readonly string[]) => webPlan(port, sockets, { affinitySeconds: 600 });
  relays.start(sticky(servers.sockets));
  const first = await answerOf("127.0.0.1", port);
  for (let i = 0; i < 20; i++) assert.equal(await answerOf("127.0.0.1", port), first);
  const others = servers.sockets.filter((_, index) => servers.names[index] !== first);
  relays.change(sticky(servers.sockets), sticky(others));
  const next = await answerOf("127.0.0.1", port);
  assert.notEqual(next, first);
  relays.change(sticky(others), sticky(servers.sockets));
  for (let i = 0; i < 20; i++) assert.equal(await answerOf("127.0.0.1", port), next);
});

Deno.test("a node port that moves to another service leads to its endpoints", async () => {
  using servers = new Servers("127.0.0.1", 2);
  const [first = "", second = ""] = servers.sockets;
  using relays = relaysOf("IPv4");
  const port = freePort("127.0.0.1");
  const [web, api] = [webPlan(port, [first]), webPlan(port, [second], { name: "api" })];
  relays.start(web);
  // In either order within one sync.
  relays.changeAll({ key: api.key, old: undefined, new: api }, { key: web.key, old: web, new: undefined });
  assert.equal(await answerOf("127.0.0.1", port), servers.names[1]);
  relays.changeAll({ key: api.key, old: api, new: undefined }, { key: web.key, old: undefined, new: web });
  assert.equal(await answerOf("127.0.0.1", port), servers.names[0]);
});

Deno.test("an endpoint that refuses ends the connection without data", async () => {
  using relays = relaysOf("IPv4");
  const [port, closed] = [freePort("127.0.0.1"), freePort("127.0.0.1")];
  relays.start(webPlan(port, [`127.0.0.1:${closed}`]));
  assert.equal(await answerOf("127.0.0.1", port), "");
});

Deno.test("a port that is in use is reported once, counted, and served when it is free", async () => {
  using server = new Server("127.0.0.1", "web");
  using relays = relaysOf("IPv4");
  const occupant = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = occupant.addr;
  relays.start(webPlan(port, [server.socket]));
  relays.change(undefined, planOf({ name: "other" }));
  assert.equal(relays.warnings.length, 1);
  assert.match(relays.warnings[0]!, /^A node port is not served on a loopback address.*default\/web:http/);
  assert.equal(relays.metric("nftables_localhost_nodeport_listeners"), 0);
  assert.ok(relays.metric("nftables_localhost_nodeport_listener_creation_failures_total") >= 2);
  occupant.close();
  while (relays.metric("nftables_localhost_nodeport_listeners") === 0) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assert.equal(await answerOf("127.0.0.1", port), "web");
});

Deno.test("only TCP node ports with endpoints are served; policy Local uses the endpoints of this node", () => {
  const targets = (text: PlanText) =>
    relayTargets(planOf({ clusterIP: "10.96.0.10:80", nodePort: 30080, ...text }))
      .map(({ endpoints }) => endpoints.map(({ address, port }) => formatSocketAddress(address, port)));
  const endpoints = ["10.1.0.1:8080@here", "10.1.1.2:8080"];
  assert.deepEqual(targets({ endpoints }), [["10.1.0.1:8080", "10.1.1.2:8080"]]);
  assert.deepEqual(targets({ endpoints, external: "local" }), [["10.1.0.1:8080"]]);
  assert.deepEqual(targets({ endpoints: ["10.1.1.2:8080"], external: "local" }), []);
  assert.deepEqual(targets({ endpoints, external: "drop" }), []);
  assert.deepEqual(targets({ endpoints, protocol: "UDP" }), []);
  assert.deepEqual(relayTargets(planOf({ clusterIP: "10.96.0.10:80" })), []);
});

/** Relays of one family, and their warnings. */
function relaysOf(family: "IPv4" | "IPv6") {
  const warnings: string[] = [];
  const log = {
    error: () => {},
    info: () => {},
    warn: (message: string, fields: object = {}) =>
      void warnings.push(`${message} ${Object.values(fields).join(" ")}`),
  };
  const relays = new LocalhostRelays({ families: [family], log, retryMs: 5 });
  const synced = (changes: readonly PlanChange[], full: boolean, plans: readonly ServicePortPlan[]) =>
    relays.synced({ desired: desiredOf(plans), changes, full } satisfies InForce);
  return {
    warnings,
    start: (...plans: readonly ServicePortPlan[]) => synced([], true, plans),
    change: (old: ServicePortPlan | undefined, next: ServicePortPlan) =>
      synced([{ key: next.key, old, new: next }], false, []),
    changeAll: (...changes: readonly PlanChange[]) => synced(changes, false, []),
    metric: (name: string) =>
      relays.metrics().find((metric) => metric.name === name)?.samples[0]?.value ?? NaN,
    [Symbol.dispose]: () => relays[Symbol.dispose](),
  };
}

function webPlan(port: number, sockets: readonly string[], more: PlanText = {}): ServicePortPlan {
  const family = sockets[0]?.startsWith("[") ? "IPv6" : "IPv4";
  return planOf({ nodePort: port, family, endpoints: sockets, ...more });
}

/** Servers whose names are "0", "1", … */
class Servers implements Disposable {
  readonly #servers: readonly Server[];

  constructor(readonly host: string, count: number) {
    this.#servers = Array.from({ length: count }, (_, index) => new Server(host, String(index)));
  }

  get sockets(): readonly string[] {
    return this.#servers.map(({ socket }) => socket);
  }

  get names(): readonly string[] {
    return this.#servers.map(({ name }) => name);
  }

  [Symbol.dispose](): void {
    for (const server of this.#servers) server[Symbol.dispose]();
  }
}
