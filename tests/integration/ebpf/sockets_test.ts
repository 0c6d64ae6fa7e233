import assert from "node:assert/strict";
import type { PlanKey } from "../../../core/plan/plan.ts";
import { planOf } from "../../backends/ebpf/plans.ts";
import type { PlanText } from "../../backends/plans.ts";
import { slowness } from "../../lab/pace.ts";
import { countedTraffic } from "./support/counted_traffic.ts";
import { settings, socketErrorOf, untilEnded, withScene } from "./support/sockets/scene.ts";

function plans(...texts: readonly PlanText[]) {
  return texts.map(planOf);
}

const both = ["10.1.0.2:8080@here", "10.1.0.3:8080"];
const bothIPv6 = ["[fd00:1::2]:8080@here", "[fd00:1::3]:8080"];

Deno.test("a socket that connects to a service reaches an endpoint, and sees the service as its peer", () =>
  withScene(async ({ client, backend }) => {
    await backend.reconcile(
      plans(
        { name: "web", clusterIP: "10.96.0.10:80", endpoints: both },
        { name: "web6", clusterIP: "[fd00:96::10]:80", endpoints: bothIPv6 },
        { name: "dns", clusterIP: "10.96.0.53:53", protocol: "UDP", endpoints: both },
      ),
      settings,
    );
    const tcp = await client.sockets.connect("10.96.0.10", 80);
    assert.deepEqual({ peer: tcp.peer, port: tcp.port, client: tcp.client }, {
      peer: "10.96.0.10",
      port: 80,
      client: "10.1.0.4",
    });
    const tcp6 = await client.sockets.connect("fd00:96::10", 80);
    assert.deepEqual([tcp6.peer, tcp6.port, tcp6.client], ["fd00:96::10", 80, "fd00:1::4"]);
    const mapped = await client.sockets.connect("::ffff:10.96.0.10", 80);
    assert.deepEqual([mapped.peer, mapped.client], ["::ffff:10.96.0.10", "10.1.0.4"]);
    const udp = await client.sockets.connect("10.96.0.53", 53, { protocol: "UDP" });
    assert.deepEqual([udp.peer, udp.port], ["10.96.0.53", 53]);

    const spread = await client.sockets.connectMany("10.96.0.10", 80, 200);
    assert.deepEqual(Object.keys(spread).sort(), ["a", "b"]);
    assert(Math.min(...Object.values(spread)) > 60, JSON.stringify(spread));
    // An address that belongs to no service is not translated.
    assert.equal((await client.sockets.connect("10.1.0.3", 8080)).server, "b");
  }));

Deno.test("an unconnected socket keeps its endpoint, and gets replies from the service's address", () =>
  withScene(async ({ client, backend }) => {
    await backend.reconcile(
      plans(
        { name: "dns", clusterIP: "10.96.0.53:53", protocol: "UDP", endpoints: both },
        { name: "dns6", clusterIP: "[fd00:96::53]:53", protocol: "UDP", endpoints: bothIPv6 },
      ),
      settings,
    );
    const used = new Set<string>();
    for (let socket = 0; socket < 20; socket++) {
      const { servers, source, port } = await client.sockets.send("10.96.0.53", 53, { count: 5 });
      assert.deepEqual([source, port], ["10.96.0.53", 53]);
      assert.equal(Object.keys(servers).length, 1, JSON.stringify(servers));
      used.add(Object.keys(servers).join());
    }
    assert.deepEqual([...used].sort(), ["a", "b"]);
    assert.equal((await client.sockets.send("fd00:96::53", 53)).source, "fd00:96::53");
    assert.equal((await client.sockets.send("::ffff:10.96.0.53", 53)).source, "::ffff:10.96.0.53");
  }));

Deno.test("an unconnected socket keeps an endpoint that still serves, and leaves one that is gone", () =>
  withScene(async ({ client, backend }) => {
    const dns = { name: "dns", clusterIP: "10.96.0.53:53", protocol: "UDP" } as const;
    const [before] = plans({ ...dns, endpoints: ["10.1.0.2:8080"] });
    const [after] = plans({ ...dns, endpoints: ["10.1.0.3:8080"] });
    assert(before !== undefined && after !== undefined);
    await backend.reconcile([before], settings);
    const ask = () => client.sockets.send("10.96.0.53", 53, { name: "resolver" });
    assert.deepEqual((await ask()).servers, { a: 1 });
    const terminating = {
      ...after,
      servingEndpoints: [...before.clusterEndpoints, ...after.clusterEndpoints],
    };
    await backend.apply([{ key: before.key, old: before, new: terminating }]);
    assert.deepEqual((await ask()).servers, { a: 1 });
    assert.deepEqual((await client.sockets.send("10.96.0.53", 53)).servers, { b: 1 });
    await backend.apply([{ key: before.key, old: terminating, new: after }]);
    assert.deepEqual((await ask()).servers, { b: 1 });
  }));

Deno.test("a service without endpoints rejects sockets, and a dropped connection fails immediately", () =>
  withScene(async ({ client, nodeSockets, backend }) => {
    await backend.reconcile(
      plans(
        {
          name: "none",
          clusterIP: "10.96.0.20:80",
          nodePort: 30020,
          internal: "reject",
          external: "reject",
          endpoints: [],
        },
        { name: "none-udp", clusterIP: "10.96.0.20:53", protocol: "UDP", internal: "reject", endpoints: [] },
        { name: "local", clusterIP: "10.96.0.21:80", internal: "drop", endpoints: ["10.1.0.3:8080"] },
        { name: "web", clusterIP: "[fd00:96::20]:80", internal: "reject", external: "reject", endpoints: [] },
      ),
      settings,
    );
    const started = performance.now();
    const refused = "Connection refused";
    assert.equal(await socketErrorOf(client.sockets.connect("10.96.0.20", 80)), refused);
    assert.equal(await socketErrorOf(client.sockets.connect("fd00:96::20", 80)), refused);
    assert.equal(await socketErrorOf(client.sockets.connect("::ffff:10.96.0.20", 80)), refused);
    assert.equal(await socketErrorOf(client.sockets.connect("10.1.0.1", 30020)), refused);
    assert.equal(await socketErrorOf(client.sockets.connect("10.96.0.20", 53, { protocol: "UDP" })), refused);
    assert.equal(await socketErrorOf(client.sockets.send("10.96.0.20", 53)), refused);
    // An unused port of a ClusterIP, and an unused service address.
    assert.equal(await socketErrorOf(nodeSockets.connect("10.96.0.20", 81)), refused);
    assert.equal(await socketErrorOf(nodeSockets.connect("10.96.7.7", 80)), "Connection timed out");
    assert.equal(await socketErrorOf(client.sockets.connect("10.96.0.21", 80)), "Connection timed out");
    assert.equal(await socketErrorOf(client.sockets.send("10.96.7.7", 53)), "Operation not permitted");
    assert(performance.now() - started < 1000, "a call waited");
  }));

Deno.test("Maglev spreads sockets evenly, and connected sockets keep their endpoint when it is enabled", () =>
  withScene(async ({ client, backend }) => {
    const udp = { name: "dns", clusterIP: "10.96.0.53:53", protocol: "UDP", endpoints: both } as const;
    const tcp = { name: "web", clusterIP: "10.96.0.10:80", endpoints: both } as const;
    const random = plans(tcp, udp);
    await backend.reconcile(random, settings);
    const first = await client.sockets.send("10.96.0.53", 53, { name: "resolver" });
    const kept = await client.sockets.keep("kept", "10.96.0.53", 53, { protocol: "UDP" });

    const maglev = plans({ ...tcp, balancing: "maglev" }, { ...udp, balancing: "maglev" });
    await backend.apply(maglev.map((plan, index) => ({ key: plan.key, old: random[index], new: plan })));
    await pastSettling();
    for (let time = 0; time < 10; time++) {
      assert.deepEqual(await client.sockets.send("10.96.0.53", 53, { name: "resolver" }), first);
      assert.deepEqual(await client.sockets.ask("kept"), kept);
    }
    const spread = await client.sockets.connectMany("10.96.0.10", 80, 200);
    assert(Math.min(spread.a ?? 0, spread.b ?? 0) > 60, JSON.stringify(spread));
  }));

Deno.test("node ports answer on the node's addresses, and on loopback only for the node itself", () =>
  withScene(async ({ client, nodeSockets, servers, backend }) => {
    await backend.reconcile(
      plans(
        { clusterIP: "10.96.0.10:80", nodePort: 30080, external: "local", endpoints: both },
        { name: "web6", clusterIP: "[fd00:96::10]:80", nodePort: 30080, endpoints: bothIPv6 },
      ),
      settings,
    );
    // External policy Local applies to clients outside; sockets of the node reach all endpoints.
    const spread = await client.sockets.connectMany("10.1.0.1", 30080, 100);
    assert.deepEqual(Object.keys(spread).sort(), ["a", "b"]);
    assert.equal((await client.sockets.connect("fd00:1::1", 30080)).peer, "fd00:1::1");
    assert.equal((await nodeSockets.connect("127.0.0.1", 30080)).peer, "127.0.0.1");
    assert.equal(await socketErrorOf(client.sockets.connect("127.0.0.1", 30080)), "Connection refused");
    // Another address in the pods' network is not an address of the node.
    assert.equal(await socketErrorOf(nodeSockets.connect(servers[0].ipv4, 30080)), "Connection refused");
  }));

Deno.test("internal policy Local selects endpoints of this node only", () =>
  withScene(async ({ client, backend }) => {
    await backend.reconcile(
      plans({ clusterIP: "10.96.0.10:80", internal: "local", endpoints: both }),
      settings,
    );
    assert.deepEqual(await client.sockets.connectMany("10.96.0.10", 80, 20), { a: 20 });
  }));

Deno.test("a client with affinity gets the same endpoint again until it is gone", () =>
  withScene(async ({ client, nodeSockets, servers, backend }) => {
    const sticky = { clusterIP: "10.96.0.10:80", nodePort: 30080, affinitySeconds: 100 };
    const [before] = plans({ ...sticky, endpoints: both });
    assert(before !== undefined);
    await backend.reconcile([before], settings);
    const spread = await client.sockets.connectMany("10.96.0.10", 80, 20);
    const [chosen] = Object.keys(spread);
    assert.deepEqual(spread, { [chosen ?? ""]: 20 });
    // All frontends of a service port share the affinity.
    assert.deepEqual(await client.sockets.connectMany("10.1.0.1", 30080, 10), { [chosen ?? ""]: 10 });
    assert.equal(Object.keys(await nodeSockets.connectMany("10.96.0.10", 80, 10)).length, 1);

    // The endpoint stays while others come and go ...
    const [more] = plans({ ...sticky, endpoints: [...both, "10.1.0.99:8080"] });
    assert(more !== undefined);
    await backend.apply([{ key: before.key, old: before, new: more }]);
    assert.deepEqual(await client.sockets.connectMany("10.96.0.10", 80, 10), { [chosen ?? ""]: 10 });
    // ... until it is gone.
    const other = chosen === "a" ? "b" : "a";
    const [rest] = plans({ ...sticky, endpoints: [`${servers[other === "a" ? 0 : 1].ipv4}:8080`] });
    assert(rest !== undefined);
    await backend.apply([{ key: before.key, old: more, new: rest }]);
    assert.deepEqual(await client.sockets.connectMany("10.96.0.10", 80, 10), { [other]: 10 });
  }));

Deno.test("a flood of datagrams from new sockets evicts no client with affinity", () =>
  withScene(async ({ client, nodeSockets, servers: [pod], backend }) => {
    await backend.reconcile(
      plans(
        { clusterIP: "10.96.0.10:80", affinitySeconds: 100, endpoints: both },
        { name: "dns", clusterIP: "10.96.0.53:53", protocol: "UDP", endpoints: both },
      ),
      settings,
    );
    const clients = [client.sockets, nodeSockets, pod.sockets];
    const chosenBy = () => Promise.all(clients.map((sockets) => sockets.connectMany("10.96.0.10", 80, 1)));
    const chosen = await chosenBy();
    // The map has a capacity of 1024.
    await client.sockets.sendFromMany("10.96.0.53", 53, 4000);
    assert.deepEqual(await chosenBy(), chosen);
  }));

Deno.test("affinity ends when its timeout has passed since the last connection", () =>
  withScene(async ({ client, backend }) => {
    await backend.reconcile(
      plans({ clusterIP: "10.96.0.10:80", affinitySeconds: 1, endpoints: both }),
      settings,
    );
    const seen = new Set<string>();
    for (let turn = 0; turn < 8; turn++) {
      const spread = await client.sockets.connectMany("10.96.0.10", 80, 3);
      assert.equal(Object.keys(spread).length, 1);
      seen.add(Object.keys(spread).join());
      await new Promise((resolve) => setTimeout(resolve, 1050));
    }
    assert.deepEqual([...seen].sort(), ["a", "b"]);
  }));

Deno.test("source ranges apply to sockets whose address is known", () =>
  withScene(async ({ nodeSockets, backend }) => {
    const text = { clusterIP: "10.96.0.10:80", loadBalancerIPs: ["192.0.2.1:80"], endpoints: both };
    const [without] = plans({ ...text, sourceRanges: ["10.9.0.0/16"] });
    // The planner adds the load-balancer IP to ranges that contain the node's address.
    const [within] = plans({ ...text, sourceRanges: ["10.1.0.0/16", "192.0.2.1/32"] });
    assert(without !== undefined && within !== undefined);
    await backend.reconcile([without], settings);
    assert.equal(await socketErrorOf(nodeSockets.connect("192.0.2.1", 80)), "Connection timed out");
    assert.equal((await nodeSockets.connect("10.96.0.10", 80)).peer, "10.96.0.10");
    await backend.apply([{ key: without.key, old: without, new: within }]);
    assert.equal((await nodeSockets.connect("192.0.2.1", 80)).peer, "192.0.2.1");
    await backend.apply([{ key: without.key, old: within, new: without }]);
    assert.equal(await socketErrorOf(nodeSockets.connect("192.0.2.1", 80)), "Connection timed out");
  }));

Deno.test("a connected UDP socket may connect to another address", () =>
  withScene(async ({ client, servers, backend }) => {
    await backend.reconcile(
      plans({ name: "dns", clusterIP: "10.96.0.53:53", protocol: "UDP", endpoints: ["10.1.0.2:8080"] }),
      settings,
    );
    assert.equal(
      (await client.sockets.keep("one", "10.96.0.53", 53, { protocol: "UDP" })).peer,
      "10.96.0.53",
    );
    const again = await client.sockets.reconnect("one", servers[1].ipv4, 8080);
    assert.deepEqual([again.server, again.peer, again.port], ["b", servers[1].ipv4, 8080]);
  }));

Deno.test("connections are counted per service port", () =>
  withScene(async ({ client, backend }) => {
    const [web, dns] = plans(
      { name: "web", clusterIP: "10.96.0.10:80", endpoints: both },
      { name: "dns", clusterIP: "10.96.0.53:53", protocol: "UDP", endpoints: both },
    );
    assert(web !== undefined && dns !== undefined);
    await backend.reconcile([web, dns], settings);
    await client.sockets.connectMany("10.96.0.10", 80, 7);
    await client.sockets.send("10.96.0.53", 53, { count: 5 });
    const connectionsOf = async (key: PlanKey) => (await countedTraffic(backend, key)).connections;
    assert.deepEqual([await connectionsOf(web.key), await connectionsOf(dns.key)], [7, 1]);
    // The counters are not inherited by a service that is added later.
    await backend.apply([{ key: web.key, old: web, new: undefined }]);
    await backend.apply([{ key: web.key, old: undefined, new: web }]);
    assert.equal(await connectionsOf(web.key), 0);
  }));

Deno.test("a connected UDP socket is ended when its endpoint is gone, and not before", () =>
  withScene(async ({ node, client, nodeSockets, backend }) => {
    const text = { name: "dns", clusterIP: "10.96.0.53:53", nodePort: 30053, protocol: "UDP" } as const;
    const [onlyA] = plans({ ...text, endpoints: ["10.1.0.2:8080"] });
    const [onlyB] = plans({ ...text, endpoints: ["10.1.0.3:8080"] });
    const [v6] = plans({ name: "v6", clusterIP: "[fd00:96::53]:53", protocol: "UDP", endpoints: bothIPv6 });
    assert(onlyA !== undefined && onlyB !== undefined && v6 !== undefined);
    const udp = { protocol: "UDP" } as const;
    await backend.reconcile([onlyA, v6], settings);
    await client.sockets.keep("pod", "10.96.0.53", 53, udp);
    await client.sockets.keep("mapped", "::ffff:10.96.0.53", 53, udp);
    await client.sockets.keep("node port", "10.1.0.1", 30053, udp);
    await client.sockets.keep("direct", "10.1.0.2", 8080, udp);
    await client.sockets.keep("v6", "fd00:96::53", 53, udp);
    await nodeSockets.keep("node", "10.96.0.53", 53, udp);

    const serving = { ...onlyB, servingEndpoints: [...onlyA.servingEndpoints, ...onlyB.servingEndpoints] };
    await backend.apply([{ key: onlyA.key, old: onlyA, new: serving }]);
    await pastSettling();
    for (const name of ["pod", "mapped", "node port"]) {
      assert.equal((await client.sockets.ask(name)).server, "a");
    }

    await backend.apply([{ key: onlyA.key, old: serving, new: onlyB }]);
    for (const name of ["pod", "mapped", "node port"]) await untilEnded(client.sockets, name);
    await untilEnded(nodeSockets, "node");
    assert.equal((await client.sockets.ask("direct")).server, "a");
    assert.equal((await client.sockets.ask("v6")).peer, "fd00:96::53");

    // A process that starts later detects an endpoint that went meanwhile.
    await client.sockets.keep("late", "10.96.0.53", 53, udp);
    await backend[Symbol.asyncDispose]();
    await using next = node.startBackend();
    await next.reconcile([v6], settings);
    await untilEnded(client.sockets, "late");
    assert.equal((await client.sockets.ask("v6")).peer, "fd00:96::53");
  }));

/** Waits longer than the delay before sockets are ended after a change. */
function pastSettling(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 400 * slowness));
}
