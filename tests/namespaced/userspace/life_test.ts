import assert from "node:assert/strict";
import {
  address,
  frontend,
  packed,
  relayedService,
} from "../../backends/userspace/relay/support/services.ts";
import { run } from "../../integration/support/network_namespace.ts";
import { keepsLibraries, RelayLab } from "../../integration/userspace/support/relay_lab.ts";
import {
  close,
  connectOrReset,
  echo,
  exchange,
  readAll,
  TcpServer,
} from "../../integration/userspace/support/tcp.ts";
import { until } from "../../integration/userspace/support/until.ts";

/** Run by relay_test.ts in its own network namespace. */

const VIP = { hostname: "10.96.0.10", port: 80 };
const HELLO = new TextEncoder().encode("hello");
const LOOPBACK = { hostname: "127.64.0.1", port: 8000 };
const LISTEN = { address: address(LOOPBACK.hostname), port: LOOPBACK.port };
const DIRECT = relayedService({ frontends: [frontend({ listen: LISTEN })] });

Deno.test(
  "connections may finish when the relay is drained, and no new ones begin",
  keepsLibraries,
  async () => {
    await using lab = await RelayLab.start();
    await using _server = new TcpServer("10.1.0.1", echo);
    await lab.replace(relayedService());
    using client = await Deno.connect(VIP);
    await client.write(HELLO);
    await client.read(new Uint8Array(10));
    const draining = lab.relay.drain(10_000);
    await until(async () => await outcome(VIP) === "refused");
    assert.deepEqual(await exchange(client, HELLO), HELLO);
    assert.equal(await draining, 0);
    await assert.rejects(lab.report(), /the relay has been stopped/);
  },
);

Deno.test(
  "connections that take longer than the drain are reset, so that nobody takes them for complete",
  keepsLibraries,
  async () => {
    await using lab = await RelayLab.start();
    await using _server = new TcpServer("10.1.0.1", echo);
    await lab.replace(relayedService());
    using client = await Deno.connect(VIP);
    await client.write(HELLO);
    await client.read(new Uint8Array(10));
    assert.equal(await lab.relay.drain(100), 1);
    await assert.rejects(readAll(client), Deno.errors.ConnectionReset);
  },
);

Deno.test(
  "connections that wait to be accepted are served when the relay is drained",
  keepsLibraries,
  async () => {
    await using lab = await RelayLab.start();
    await using _server = new TcpServer("10.1.0.1", echo);
    await lab.replace(relayedService());
    const clients = await Promise.all(Array.from({ length: 20 }, () => Deno.connect(VIP)));
    const draining = lab.relay.drain(10_000);
    for (const client of clients) {
      assert.deepEqual(await exchange(client, HELLO), HELLO);
      close(client);
    }
    assert.equal(await draining, 0);
  },
);

Deno.test("both sides of a connection are probed after a minute of silence", keepsLibraries, async () => {
  await using lab = await RelayLab.start();
  await using _server = new TcpServer("10.1.0.1", echo);
  await lab.replace(relayedService());
  using client = await Deno.connect(VIP);
  await client.write(HELLO);
  await client.read(new Uint8Array(10));
  const sockets = await run("ss", "-tnoH");
  const probed = sockets.split("\n").filter((line) => /timer:\(keepalive,(5\dsec|1min),0\)/.test(line));
  assert.equal(probed.length, 2, sockets);
  assert(probed.some((line) => line.includes(" 10.1.0.1:8080 ")), sockets);
});

Deno.test("a removed service takes no connections, and those that exist go on", keepsLibraries, async () => {
  await using lab = await RelayLab.start();
  await using _server = new TcpServer("10.1.0.1", echo);
  await lab.replace(relayedService());
  using client = await Deno.connect(VIP);
  await client.write(HELLO);
  await client.read(new Uint8Array(10));
  await lab.replace();
  assert.equal(await connectOrReset(VIP), "reset");
  assert.deepEqual(await exchange(client, HELLO), HELLO);
});

Deno.test(
  "a frontend can have a listener of its own, which follows the service",
  keepsLibraries,
  async () => {
    await using lab = await RelayLab.start({ sharedListeners: [] });
    await using _server = new TcpServer("10.1.0.1", echo);
    await lab.replace(DIRECT);
    using client = await Deno.connect(LOOPBACK);
    assert.deepEqual(await exchange(client, HELLO), HELLO);
    const { descriptors } = lab.relay;
    assert.deepEqual(Object.keys(descriptors), ["TCP-7f400001-8000"]);
    await lab.replace({ ...DIRECT, cluster: packed("10.1.0.9:8080") });
    assert.equal(lab.relay.descriptors, descriptors);
    assert.equal(await connectOrReset(LOOPBACK), "reset");
    await lab.replace({ ...DIRECT, frontends: [frontend({ listen: { ...LISTEN, port: 8001 } })] });
    await assert.rejects(Deno.connect(LOOPBACK), Deno.errors.ConnectionRefused);
    using moved = await Deno.connect({ ...LOOPBACK, port: 8001 });
    assert.deepEqual(await exchange(moved, HELLO), HELLO);
    assert.deepEqual(Object.keys(lab.relay.descriptors), ["TCP-7f400001-8001"]);
    await lab.replace();
    assert.deepEqual(lab.relay.descriptors, {});
    await assert.rejects(Deno.connect({ ...LOOPBACK, port: 8001 }), Deno.errors.ConnectionRefused);
  },
);

Deno.test(
  "a busy port is reported with its service port, and opened by the next attempt",
  keepsLibraries,
  async () => {
    await using lab = await RelayLab.start({ sharedListeners: [] });
    {
      await using _other = new TcpServer(LOOPBACK.hostname, echo, LOOPBACK.port);
      const [failed, ...more] = await lab.relay.replace([DIRECT]);
      assert.deepEqual(more, []);
      assert.equal(failed?.key, DIRECT.key);
      assert.equal(
        failed?.reason,
        "listen on 127.64.0.1:8000/TCP: EADDRINUSE (Address already in use)",
      );
    }
    assert.deepEqual(await lab.relay.update([DIRECT], []), []);
    assert.equal(await outcome(LOOPBACK), "connected");
  },
);

Deno.test("a shared listener whose port is busy gets another one", keepsLibraries, async () => {
  await using lab = await RelayLab.start({
    sharedListeners: [{ family: "IPv4", protocol: "TCP", side: "inside", port: 8080 }],
  });
  const [first] = lab.relay.listeners;
  assert.equal(first?.port, 8080);
  await using second = await RelayLab.start({
    sharedListeners: [{ family: "IPv4", protocol: "TCP", side: "inside", port: 8080 }],
  });
  const [other] = second.relay.listeners;
  assert(other !== undefined && other.port !== 8080 && other.port > 0, `${other?.port}`);
});

async function outcome(address: Deno.ConnectOptions): Promise<"connected" | "refused"> {
  try {
    (await Deno.connect(address)).close();
    return "connected";
  } catch {
    return "refused";
  }
}
