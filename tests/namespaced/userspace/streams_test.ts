import assert from "node:assert/strict";
import {
  address,
  frontend,
  packed,
  relayedService,
} from "../../backends/userspace/relay/support/services.ts";
import { PythonProgram } from "../../integration/userspace/support/python_program.ts";
import { keepsLibraries, RelayLab } from "../../integration/userspace/support/relay_lab.ts";
import {
  echo,
  exchange,
  pattern,
  readAll,
  TcpServer,
  writeAll,
} from "../../integration/userspace/support/tcp.ts";

/** Run by relay_test.ts in its own network namespace. */

const WEB = relayedService({ cluster: packed("10.1.0.1:8080") });

/**
 * Sends urgent data in the middle of a stream. Receivers with SO_OOBINLINE read it at its place, others skip it. Only
 * the last 2 kB are near it, after so many bytes that they are moved by splice.
 */
const URGENT = `
import socket, threading
listener = socket.create_server(("10.1.0.1", 8080))
print("ready", flush=True)
def receive(connection, length):
    data = b""
    while len(data) < length and (part := connection.recv(length - len(data))): data += part
    return data
def outcome(sender, receiver, inline, ends):
    sender.settimeout(10)
    receiver.settimeout(10)
    receiver.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, inline)
    bulk = threading.Thread(target=sender.sendall, args=(b"a" * 3000000,))
    bulk.start()
    if receive(receiver, 3000000) != b"a" * 3000000: return "bytes differ"
    bulk.join()
    sender.sendall(b"b" * 1000)
    sender.send(b"!", socket.MSG_OOB)
    sender.sendall(b"c" * 1000)
    if ends: sender.shutdown(socket.SHUT_WR)
    expected = b"b" * 1000 + b"!" * inline + b"c" * 1000
    try:
        if receive(receiver, len(expected)) != expected: return "bytes differ"
        if ends and receiver.recv(1) != b"": return "no end"
    except TimeoutError:
        return "bytes are missing"
    return "ok"
for inline in (False, True):
    for ends in (False, True):
        for is_upload in (False, True):
            client = socket.create_connection(("10.96.0.10", 80))
            sides = client, listener.accept()[0]
            print(outcome(*(sides if is_upload else sides[::-1]), inline, ends), flush=True)
            for side in sides: side.close()
`;

for (const mover of ["copy", "splice"] as const) {
  Deno.test(`urgent data neither stops nor cuts off a stream (${mover})`, keepsLibraries, async () => {
    await using lab = await RelayLab.start({ mover });
    await lab.replace(WEB);
    await using program = new PythonProgram(URGENT);
    await program.line();
    const outcomes: string[] = [];
    while (outcomes.length < 8) outcomes.push(await program.line());
    assert.deepEqual(outcomes, Array(8).fill("ok"));
  });

  Deno.test(
    `bytes arrive complete and in order, and ends of streams are passed on (${mover})`,
    keepsLibraries,
    async () => {
      await using lab = await RelayLab.start({ mover });
      await using _server = new TcpServer("10.1.0.1", echo);
      await lab.replace(WEB);
      for (const length of [0, 1, 1000, 128 * 1024, 5_000_000]) {
        using client = await Deno.connect({ hostname: "10.96.0.10", port: 80 });
        const sent = pattern(length);
        const received = await exchange(client, sent);
        assert.equal(received.length, length);
        assert(received.every((byte, index) => byte === sent[index]), `${length} bytes`);
      }
      const { bytesToEndpoints, bytesToClients, connections, retries } = await lab.counters();
      assert.deepEqual([connections, retries], [5, 0]);
      assert.deepEqual([bytesToEndpoints, bytesToClients], [5_132_073, 5_132_073]);
      assert.deepEqual(lab.warnings, []);
    },
  );
}

Deno.test("IPv6 services are relayed in the same way", keepsLibraries, async () => {
  await using lab = await RelayLab.start();
  await using _server = new TcpServer("fd00:1::1", echo);
  await lab.replace(relayedService({
    family: "IPv6",
    frontends: [frontend({ address: address("fd00:96::10") })],
    cluster: packed("fd00:1::1:8080"),
  }));
  using client = await Deno.connect({ hostname: "fd00:96::10", port: 80 });
  const sent = pattern(100_000);
  assert.deepEqual(await exchange(client, sent), sent);
});

Deno.test(
  "an endpoint that speaks first is heard, and may go on after the client has ended its stream",
  keepsLibraries,
  async () => {
    await using lab = await RelayLab.start();
    await using _server = new TcpServer("10.1.0.1", async (connection) => {
      await writeAll(connection, new TextEncoder().encode("hello "));
      await readAll(connection);
      await writeAll(connection, new TextEncoder().encode("goodbye"));
    });
    await lab.replace(WEB);
    using client = await Deno.connect({ hostname: "10.96.0.10", port: 80 });
    const buffer = new Uint8Array(100);
    assert.equal(await client.read(buffer), 6);
    await client.closeWrite();
    assert.equal(new TextDecoder().decode(await readAll(client)), "goodbye");
  },
);

Deno.test(
  "an endpoint that ends its stream first still receives what the client sends",
  keepsLibraries,
  async () => {
    await using lab = await RelayLab.start();
    const received = Promise.withResolvers<number>();
    await using _server = new TcpServer("10.1.0.1", async (connection) => {
      await connection.closeWrite();
      received.resolve((await readAll(connection)).length);
    });
    await lab.replace(WEB);
    using client = await Deno.connect({ hostname: "10.96.0.10", port: 80 });
    assert.equal((await readAll(client)).length, 0);
    await writeAll(client, pattern(1_000_000));
    await client.closeWrite();
    assert.equal(await received.promise, 1_000_000);
  },
);
