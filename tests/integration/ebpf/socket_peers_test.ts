import assert from "node:assert/strict";
import { smallOptions } from "../../backends/ebpf/options.ts";
import { planOf } from "../../backends/ebpf/plans.ts";
import { settings, socketErrorOf, withScene } from "./support/sockets/scene.ts";

const both = ["10.1.0.2:8080@here", "10.1.0.3:8080"];
const onA = ["10.1.0.2:8080@here"];
const UDP = { protocol: "UDP" } as const;
const dns = { name: "dns", clusterIP: "10.96.0.53:53", ...UDP } as const;

/** Services with consecutive addresses. */
function many(
  count: number,
  more: { readonly affinitySeconds?: number; readonly endpoints: readonly string[] },
) {
  return Array.from({ length: count }, (_, index) => {
    const address = `10.97.${index >> 8}.${index & 255}`;
    return { address, plan: planOf({ name: `many-${index}`, clusterIP: `${address}:53`, ...UDP, ...more }) };
  });
}

Deno.test("a pod that sends to everything changes no other pod's answers and affinity", () =>
  withScene(async ({ client, servers: [, flooding], nodeSockets, backend }) => {
    // All maps of clients have a capacity of 1024.
    const others = many(1800, { affinitySeconds: 100, endpoints: both });
    const sticky = Array.from(
      { length: 12 },
      (_, index) =>
        planOf({
          name: `s${index}`,
          clusterIP: `10.96.1.${index}:80`,
          affinitySeconds: 100,
          endpoints: both,
        }),
    );
    await backend.reconcile(
      [planOf({ ...dns, endpoints: onA }), ...sticky, ...others.map(({ plan }) => plan)],
      settings,
    );
    const chosenBy = async (sockets: typeof nodeSockets) => {
      const chosen = [];
      for (let index = 0; index < sticky.length; index++) {
        chosen.push((await sockets.connect(`10.96.1.${index}`, 80)).server);
      }
      return chosen;
    };
    const before = [await chosenBy(client.sockets), await chosenBy(nodeSockets)];
    for (const chosen of before) assert.equal(new Set(chosen).size, 2, "services have the same hash");
    await client.sockets.sendOnly("resolver", "10.96.0.53", 53);
    const destinations = others.map(({ address }) => [address, 53] as const);
    for (let round = 0; round < 56; round++) await flooding.sockets.sendToAll(destinations);
    await flooding.sockets.sendFromMany("10.96.0.53", 53, 4000);
    assert.deepEqual(await client.sockets.receive("resolver"), {
      server: "a",
      source: "10.96.0.53",
      port: 53,
    });
    assert.deepEqual([await chosenBy(client.sockets), await chosenBy(nodeSockets)], before);
  }, { capacity: { ...smallOptions.capacity, frontends: 16384 } }));

Deno.test("a socket that uses more services than it can remember keeps the last ones", () =>
  withScene(async ({ client, backend }) => {
    const others = many(20, { endpoints: both });
    await backend.reconcile(
      [planOf({ ...dns, endpoints: both }), ...others.map(({ plan }) => plan)],
      settings,
    );
    const ask = (address: string) => client.sockets.send(address, 53, { name: "one" });
    const first = await ask("10.96.0.53");
    for (const { address } of others) {
      assert.equal((await ask(address)).source, address);
      // Used every time, so it is not the one to forget.
      assert.deepEqual(await ask("10.96.0.53"), first);
    }
  }));

Deno.test("answers of an endpoint show the address that the socket last sent to", () =>
  withScene(async ({ client, backend }) => {
    const other = planOf({ ...dns, name: "other", clusterIP: "10.96.0.54:53", endpoints: onA });
    const six = planOf({
      name: "six",
      clusterIP: "[fd00:96::53]:53",
      ...UDP,
      endpoints: ["[fd00:1::2]:8080"],
    });
    await backend.reconcile([planOf({ ...dns, endpoints: onA }), other, six], settings);
    const sourceOf = async (address: string, port: number, name: string) => {
      const { source, port: from } = await client.sockets.send(address, port, { name });
      assert.equal(from, port);
      return source;
    };
    for (
      const address of [
        "10.96.0.53",
        "10.1.0.2",
        "10.96.0.53",
        "10.96.0.54",
        "10.1.0.2",
        "10.96.0.54",
        "10.96.0.53",
      ]
    ) {
      assert.equal(await sourceOf(address, address === "10.1.0.2" ? 8080 : 53, "one"), address);
    }
    for (const address of ["fd00:96::53", "fd00:1::2", "fd00:96::53"]) {
      assert.equal(await sourceOf(address, address === "fd00:1::2" ? 8080 : 53, "six"), address);
    }
    // The kernel reports the source of the answer that it delivers, so the last address wins.
    await client.sockets.sendOnly("one", "10.96.0.53", 53);
    await client.sockets.sendOnly("one", "10.1.0.2", 8080);
    assert.equal((await client.sockets.receive("one")).source, "10.1.0.2");
    assert.equal((await client.sockets.receive("one")).source, "10.1.0.2");
  }));

Deno.test("a connected socket that names its service sends to its endpoint", () =>
  withScene(async ({ client, backend }) => {
    await backend.reconcile([planOf({ ...dns, endpoints: both })], settings);
    for (let index = 0; index < 12; index++) {
      const name = `socket ${index}`;
      const { server } = await client.sockets.keep(name, "10.96.0.53", 53, UDP);
      const answer = await client.sockets.send("10.96.0.53", 53, { name });
      assert.deepEqual(answer, { servers: { [server]: 1 }, source: "10.96.0.53", port: 53 });
    }
  }));

Deno.test("a socket that is disconnected from a service sees its endpoint's own address", () =>
  withScene(async ({ client, backend }) => {
    await backend.reconcile([planOf({ ...dns, endpoints: onA })], settings);
    await client.sockets.keep("one", "10.96.0.53", 53, UDP);
    await client.sockets.disconnect("one");
    assert.equal((await client.sockets.send("10.1.0.2", 8080, { name: "one" })).source, "10.1.0.2");
    assert.equal((await client.sockets.send("10.96.0.53", 53, { name: "one" })).source, "10.96.0.53");
  }));

Deno.test("the unspecified address is the loopback address, also for node ports", () =>
  withScene(async ({ client, nodeSockets, backend }) => {
    const web = { name: "web", nodePort: 30080 };
    await backend.reconcile([
      planOf({ ...web, clusterIP: "10.96.0.10:80", endpoints: both }),
      planOf({ ...web, name: "udp", clusterIP: "10.96.0.11:80", ...UDP, endpoints: both }),
      planOf({ ...web, name: "web6", clusterIP: "[fd00:96::10]:80", endpoints: ["[fd00:1::2]:8080"] }),
    ], settings);
    // A pod's own loopback address belongs to the pod.
    for (const address of ["0.0.0.0", "::ffff:0.0.0.0", "::"]) {
      assert.equal(await socketErrorOf(client.sockets.connect(address, 30080)), "Connection refused");
    }
    await client.sockets.serve("own", "0.0.0.0", 30080);
    assert.equal((await client.sockets.connect("0.0.0.0", 30080)).server, "own");
    assert.deepEqual((await client.sockets.send("0.0.0.0", 30080)).servers, { own: 1 });
    // On the node, node ports answer on 127.0.0.1 in this test.
    for (const address of ["0.0.0.0", "127.0.0.1"]) {
      assert.equal((await nodeSockets.connect(address, 30080)).peer, "127.0.0.1");
      assert.equal((await nodeSockets.send(address, 30080)).source, "127.0.0.1");
    }
    assert.equal(await socketErrorOf(nodeSockets.connect("::", 30080)), "Connection refused");
  }));
