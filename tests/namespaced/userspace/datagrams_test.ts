import assert from "node:assert/strict";
import {
  address,
  frontend,
  packed,
  relayedService,
} from "../../backends/userspace/relay/support/services.ts";
import { keepsLibraries, RelayLab } from "../../integration/userspace/support/relay_lab.ts";
import { askConnected, UdpClient, UdpServer, UdpSink } from "../../integration/userspace/support/udp.ts";
import type { PlanKey } from "../../../core/plan/plan.ts";
import { until } from "../../integration/userspace/support/until.ts";

/** Run by relay_test.ts in its own network namespace. */

const CLIENT = "192.0.2.1";
const VIP = "10.96.0.10";
const DNS = relayedService({
  key: "default/dns/UDP/IPv4" as PlanKey,
  protocol: "UDP",
  frontends: [frontend({ port: 53 })],
  cluster: packed("10.1.0.1:5353"),
});
const SLOW = { udpIdleMs: 60_000 };

Deno.test(
  "datagrams reach an endpoint, and the answers come from the service's address",
  keepsLibraries,
  async () => {
    await using lab = await RelayLab.start();
    using _server = await UdpServer.bind("a", "10.1.0.1");
    await lab.replace(DNS);
    using client = await UdpClient.bind(CLIENT);
    assert.equal(await client.ask("one", VIP, 53), `a: one from ${VIP}:53`);
    assert.equal(await client.ask("two", VIP, 53), `a: two from ${VIP}:53`);
    const { connections, bytesToEndpoints, bytesToClients } = await lab.counters();
    assert.deepEqual({ connections, bytesToEndpoints, bytesToClients }, {
      connections: 1,
      bytesToEndpoints: 6,
      bytesToClients: 12,
    });
    assert.deepEqual(lab.warnings, []);
  },
);

Deno.test("IPv6 datagrams are relayed in the same way", keepsLibraries, async () => {
  await using lab = await RelayLab.start();
  using _server = await UdpServer.bind("a", "fd00:1::1");
  await lab.replace({
    ...DNS,
    family: "IPv6",
    frontends: [frontend({ address: address("fd00:96::10"), port: 53 })],
    cluster: packed("fd00:1::1:5353"),
  });
  using client = await UdpClient.bind("2001:db8::1");
  assert.equal(await client.ask("one", "fd00:96::10", 53), "a: one from fd00:96::10:53");
});

Deno.test("one port of a client may talk to two services at a time", keepsLibraries, async () => {
  await using lab = await RelayLab.start();
  using _a = await UdpServer.bind("a", "10.1.0.1");
  using _b = await UdpServer.bind("b", "10.1.0.2");
  await lab.replace(DNS, {
    ...DNS,
    key: "default/other/UDP/IPv4" as PlanKey,
    frontends: [frontend({ address: address("10.96.0.11"), port: 53 })],
    cluster: packed("10.1.0.2:5353"),
  });
  using client = await UdpClient.bind(CLIENT, 5000);
  for (let round = 0; round < 3; round++) {
    assert.equal(await client.ask("x", VIP, 53), `a: x from ${VIP}:53`);
    assert.equal(await client.ask("y", "10.96.0.11", 53), "b: y from 10.96.0.11:53");
  }
});

Deno.test("a flow ends when it is idle, and the next datagram chooses anew", keepsLibraries, async () => {
  await using lab = await RelayLab.start({ udpIdleMs: 1000 });
  using _server = await UdpServer.bind("a", "10.1.0.1");
  await lab.replace(DNS);
  using client = await UdpClient.bind(CLIENT, 5000);
  await client.ask("one", VIP, 53);
  assert.equal((await lab.report()).udpFlows, 1);
  await until(async () => (await lab.report()).udpFlows === 0);
  assert.equal(await client.ask("two", VIP, 53), `a: two from ${VIP}:53`);
  assert.equal((await lab.counters()).connections, 2);
});

Deno.test("a client with a fixed port leaves an endpoint that is removed", keepsLibraries, async () => {
  await using lab = await RelayLab.start(SLOW);
  using _a = await UdpServer.bind("a", "10.1.0.1");
  using _b = await UdpServer.bind("b", "10.1.0.2");
  await lab.replace(DNS);
  using client = await UdpClient.bind(CLIENT, 5000);
  assert.equal(await client.ask("1", VIP, 53), `a: 1 from ${VIP}:53`);
  await lab.replace({ ...DNS, cluster: packed("10.1.0.2:5353"), serving: packed("10.1.0.1:5353") });
  assert.equal(
    await client.ask("2", VIP, 53),
    `a: 2 from ${VIP}:53`,
    "it may finish while the endpoint is serving",
  );
  await lab.replace({ ...DNS, cluster: packed("10.1.0.2:5353") });
  assert.equal(await client.ask("3", VIP, 53), `b: 3 from ${VIP}:53`);
});

Deno.test("a question that an endpoint rejects is asked again of another one", keepsLibraries, async () => {
  await using lab = await RelayLab.start(SLOW);
  using _server = await UdpServer.bind("a", "10.1.0.1");
  await lab.replace({ ...DNS, cluster: packed("10.1.0.1:5353", "10.1.0.2:5353", "10.1.0.3:5353") });
  for (let port = 5000; port < 5040; port++) {
    using client = await UdpClient.bind(CLIENT, port);
    assert.equal(await client.ask("x", VIP, 53), `a: x from ${VIP}:53`);
  }
  const { failures, retries } = await lab.counters();
  assert.equal(failures, 0);
  assert(retries >= 2 && retries <= 6, `${retries} retries: an endpoint that rejects is avoided`);
});

Deno.test(
  "an endpoint that never answers gets its share back after it rejected datagrams",
  keepsLibraries,
  async () => {
    await using lab = await RelayLab.start();
    using _first = await UdpSink.bind("10.1.0.1");
    await lab.replace({ ...DNS, cluster: packed("10.1.0.1:5353", "10.1.0.2:5353") });
    const tellTen = async () => {
      for (let count = 0; count < 10; count++) {
        using client = await UdpClient.bind(CLIENT);
        await client.tell("x", VIP, 53);
      }
    };
    await until(async () => {
      await tellTen();
      return (await lab.report()).avoidedEndpoints.length === 1;
    });
    using second = await UdpSink.bind("10.1.0.2");
    await until(async () => {
      await tellTen();
      // An endpoint that is avoided gets one datagram per period.
      return second.received >= 100;
    });
    assert.deepEqual((await lab.report()).avoidedEndpoints, []);
  },
);

Deno.test(
  "when all endpoints reject, the flow ends, and a later datagram tries them again",
  keepsLibraries,
  async () => {
    await using lab = await RelayLab.start(SLOW);
    await lab.replace({ ...DNS, cluster: packed("10.1.0.1:5353", "10.1.0.2:5353") });
    using client = await UdpClient.bind(CLIENT, 5000);
    assert.equal(await client.ask("x", VIP, 53, 300), undefined);
    const { failures, open } = await lab.counters();
    assert.deepEqual({ failures, open }, { failures: 1, open: 0 });
    using _server = await UdpServer.bind("a", "10.1.0.1");
    assert.equal(await client.ask("y", VIP, 53), `a: y from ${VIP}:53`);
  },
);

for (
  const [family, service, endpoint, local] of [
    ["IPv4", VIP, "10.1.0.1", "127.0.0.1"],
    ["IPv6", "fd00:96::10", "fd00:1::1", "::1"],
  ] as const
) {
  Deno.test(
    `a client learns that the only endpoint rejects its datagrams (${family})`,
    keepsLibraries,
    async () => {
      await using lab = await RelayLab.start(SLOW);
      const redirected = frontend({ address: address(service), port: 53 });
      const listened = frontend({ port: 54, listen: { address: address(local), port: 54 } });
      const cluster = packed(`${endpoint}:5353`);
      await lab.replace({ ...DNS, family, frontends: [redirected, listened], cluster });
      assert.equal(await askConnected("x", service, 53), "ECONNREFUSED");
      assert.equal(await askConnected("x", local, 54), "ECONNREFUSED");
      using _server = await UdpServer.bind("a", endpoint);
      assert.equal(await askConnected("y", service, 53), "a: y");
    },
  );
}

Deno.test(
  "above the limit, the flow that has been idle for the longest time ends",
  keepsLibraries,
  async () => {
    await using lab = await RelayLab.start({ ...SLOW, maxUdpFlows: 3 });
    using _server = await UdpServer.bind("a", "10.1.0.1");
    await lab.replace(DNS);
    for (let port = 5000; port < 5010; port++) {
      using client = await UdpClient.bind(CLIENT, port);
      assert.equal(await client.ask("x", VIP, 53), `a: x from ${VIP}:53`);
    }
    const { udpFlows } = await lab.report();
    const { connections, open } = await lab.counters();
    assert.deepEqual({ udpFlows, connections, open }, { udpFlows: 3, connections: 10, open: 3 });
  },
);

Deno.test("a frontend without redirection listens on an address of its own", keepsLibraries, async () => {
  await using lab = await RelayLab.start();
  using _server = await UdpServer.bind("a", "10.1.0.1");
  const listen = { address: address("127.64.0.1"), port: 53 };
  await lab.replace({ ...DNS, frontends: [frontend({ port: 53, listen })] });
  using client = await UdpClient.bind("127.0.0.1");
  assert.equal(await client.ask("x", "127.64.0.1", 53), "a: x from 127.64.0.1:53");
});
