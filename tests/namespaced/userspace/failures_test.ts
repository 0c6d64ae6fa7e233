import assert from "node:assert/strict";
import { address, packed, relayedService } from "../../backends/userspace/relay/support/services.ts";
import { slowness } from "../../lab/pace.ts";
import { run } from "../../integration/support/network_namespace.ts";
import { PythonProgram } from "../../integration/userspace/support/python_program.ts";
import { dropPacketsTo, keepsLibraries, RelayLab } from "../../integration/userspace/support/relay_lab.ts";
import {
  connectOrReset,
  echo,
  exchange,
  pattern,
  readAll,
  TcpServer,
} from "../../integration/userspace/support/tcp.ts";

/** Run by relay_test.ts in its own network namespace. */

const VIP = { hostname: "10.96.0.10", port: 80 };
const HELLO = new TextEncoder().encode("hello");

async function connectAndExchange(): Promise<void> {
  using client = await Deno.connect(VIP);
  assert.deepEqual(await exchange(client, HELLO), HELLO);
}

/** Deno has no means to reset a connection: it ends its stream before it closes the socket. */
const RESETTING_CLIENT = `
import socket, struct, time
client = socket.create_connection(("${VIP.hostname}", ${VIP.port}))
client.send(b"hello")
time.sleep(0.1)
client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
client.close()
`;

const RESETTING_ENDPOINT = `
import socket, struct, time
server = socket.create_server(("10.1.0.1", 8080))
print("ready", flush=True)
connection = server.accept()[0]
connection.send(b"hello")
time.sleep(0.1)
connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
connection.close()
time.sleep(60)
`;

Deno.test("an endpoint that rejects costs clients nothing, and is avoided", keepsLibraries, async () => {
  await using lab = await RelayLab.start();
  await using _server = new TcpServer("10.1.0.1", echo);
  await lab.replace(relayedService({ cluster: packed("10.1.0.1:8080", "10.1.0.2:8080", "10.1.0.3:8080") }));
  for (let count = 0; count < 50; count++) await connectAndExchange();
  const { connections, failures, retries } = await lab.counters();
  assert.deepEqual({ connections, failures }, { connections: 50, failures: 0 });
  assert(retries >= 2 && retries <= 10, `${retries} retries`);
  assert.deepEqual(lab.warnings, Array(2).fill("an endpoint failed, and is avoided for a while"));
  const { avoidedEndpoints } = await lab.report();
  assert.deepEqual(
    new Set(avoidedEndpoints.map(({ address }) => address)),
    new Set(["10.1.0.2", "10.1.0.3"].map(address)),
  );
});

Deno.test(
  "an endpoint that is away for a moment is avoided for a second, however many waited for it",
  keepsLibraries,
  async () => {
    await using lab = await RelayLab.start();
    await using _first = new TcpServer("10.1.0.1", echo);
    await using _second = new TcpServer("10.1.0.2", echo);
    await lab.replace(relayedService({ cluster: packed("10.1.0.1:8080", "10.1.0.2:8080") }));
    await using _away = await dropPacketsTo("10.1.0.2");
    await Promise.all(Array.from({ length: 32 }, connectAndExchange));
    const { failures, retries } = await lab.counters();
    assert.equal(failures, 0);
    assert(retries >= 2, `${retries} connections waited for it`);
    const [avoided] = (await lab.report()).avoidedEndpoints;
    assert(avoided !== undefined && avoided.remainingMs <= 1000, `${avoided?.remainingMs} ms`);
  },
);

Deno.test(
  "an endpoint that does not answer costs one client a quarter of a second",
  keepsLibraries,
  async () => {
    await using lab = await RelayLab.start();
    await using _server = new TcpServer("10.1.0.1", echo);
    await using _dead = await dropPacketsTo("10.1.0.2");
    await lab.replace(relayedService({ cluster: packed("10.1.0.1:8080", "10.1.0.2:8080") }));
    const times: number[] = [];
    for (let count = 0; count < 30; count++) {
      const start = performance.now();
      await connectAndExchange();
      times.push(performance.now() - start);
    }
    const slow = times.filter((time) => time >= 250);
    assert(slow.length >= 1, `${times}`);
    const { failures, retries } = await lab.counters();
    assert.equal(failures, 0);
    // More than once if the test takes longer than the endpoint is avoided.
    assert(retries >= 1 && retries <= 5, `${retries} retries`);
  },
);

Deno.test("a client is reset when every endpoint rejects", keepsLibraries, async () => {
  await using lab = await RelayLab.start();
  await lab.replace(relayedService({ cluster: packed("10.1.0.1:8080", "10.1.0.2:8080") }));
  assert.equal(await connectOrReset(VIP), "reset");
  const { failures, retries, open } = await lab.counters();
  assert.deepEqual({ failures, retries, open }, { failures: 1, retries: 1, open: 0 });
});

Deno.test("a client is reset when no endpoint answers four times", keepsLibraries, async () => {
  await using lab = await RelayLab.start();
  await using _dead = await dropPacketsTo("10.1.0.1");
  await lab.replace(relayedService({ cluster: packed("10.1.0.1:8080") }));
  const start = performance.now();
  assert.equal(await connectOrReset(VIP), "reset");
  const seconds = (performance.now() - start) / 1000;
  assert(seconds >= 3.75 && seconds < 6 * slowness, `${seconds} s: 0.25 + 0.5 + 1 + 2`);
  const { failures, retries } = await lab.counters();
  assert.deepEqual({ failures, retries }, { failures: 1, retries: 3 });
});

Deno.test("what the client sends before an endpoint answers is not lost", keepsLibraries, async () => {
  await using lab = await RelayLab.start();
  await using _server = new TcpServer("10.1.0.1", echo);
  await using _dead = await dropPacketsTo("10.1.0.2", "10.1.0.3");
  await lab.replace(relayedService({ cluster: packed("10.1.0.1:8080", "10.1.0.2:8080", "10.1.0.3:8080") }));
  const sent = pattern(200_000);
  for (let count = 0; count < 5; count++) {
    using client = await Deno.connect(VIP);
    assert.deepEqual(await exchange(client, sent), sent);
  }
});

Deno.test("a reset of the endpoint reaches the client", keepsLibraries, async () => {
  await using lab = await RelayLab.start();
  await using endpoint = new PythonProgram(RESETTING_ENDPOINT);
  await endpoint.line();
  await lab.replace(relayedService());
  using client = await Deno.connect(VIP);
  assert.equal(await client.read(new Uint8Array(100)), 5);
  await assert.rejects(readAll(client), Deno.errors.ConnectionReset);
  assert.equal((await lab.counters()).open, 0);
});

Deno.test("a reset of the client reaches the endpoint", keepsLibraries, async () => {
  await using lab = await RelayLab.start();
  const ended = Promise.withResolvers<unknown>();
  await using _server = new TcpServer("10.1.0.1", async (connection) => {
    await readAll(connection).then(ended.resolve, ended.resolve);
  });
  await lab.replace(relayedService());
  await run("python3", "-c", RESETTING_CLIENT);
  const end = await ended.promise;
  assert(end instanceof Deno.errors.ConnectionReset, String(end));
  assert.equal((await lab.counters()).open, 0);
});

Deno.test(
  "connections to a frontend that is unknown, or that has no endpoints, are reset",
  keepsLibraries,
  async () => {
    await using lab = await RelayLab.start();
    await lab.replace();
    assert.equal(await connectOrReset(VIP), "reset");
    await lab.replace(relayedService({ cluster: "" }));
    assert.equal(await connectOrReset(VIP), "reset");
  },
);
