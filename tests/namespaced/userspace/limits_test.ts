import assert from "node:assert/strict";
import { libc, RLIMIT_NOFILE } from "../../../ffi/libraries/libc.ts";
import { openFileLimit } from "../../../ffi/system/process.ts";
import type { PlanKey } from "../../../core/plan/plan.ts";
import {
  address,
  frontend,
  packed,
  relayedService,
} from "../../backends/userspace/relay/support/services.ts";
import { run } from "../../integration/support/network_namespace.ts";
import { PythonProgram } from "../../integration/userspace/support/python_program.ts";
import { keepsLibraries, RelayLab } from "../../integration/userspace/support/relay_lab.ts";
import {
  connectOrReset,
  echo,
  exchange,
  readAll,
  TcpServer,
} from "../../integration/userspace/support/tcp.ts";
import { UdpClient, UdpServer } from "../../integration/userspace/support/udp.ts";
import { until } from "../../integration/userspace/support/until.ts";

/** Run by relay_test.ts in its own network namespace. */

const VIP = { hostname: "10.96.0.10", port: 80 };
const OTHER_VIP = { hostname: "10.96.0.11", port: 80 };
const OTHER = relayedService({
  key: "default/other/TCP/IPv4" as PlanKey,
  frontends: [frontend({ address: address(OTHER_VIP.hostname) })],
});
const DNS = relayedService({
  key: "default/dns/UDP/IPv4" as PlanKey,
  protocol: "UDP",
  frontends: [frontend({ port: 53 })],
  cluster: packed("10.1.0.1:5353"),
});
const HELLO = new TextEncoder().encode("hello");

for (const mover of ["copy", "splice"] as const) {
  const name = `a client that does not read stops the endpoint, and gets everything later (${mover})`;
  Deno.test(name, keepsLibraries, async () => {
    const total = 200_000_000;
    let sent = 0;
    await using lab = await RelayLab.start({ mover });
    await using _server = new TcpServer("10.1.0.1", async (connection) => {
      const chunk = new Uint8Array(1_000_000);
      while (sent < total) sent += await connection.write(chunk.subarray(0, total - sent));
      await connection.closeWrite();
      await readAll(connection);
    });
    await lab.replace(relayedService());
    using client = await Deno.connect(VIP);
    // Until the buffers are full.
    for (let last = -1; last !== sent || sent === 0;) {
      last = sent;
      await sleep(500);
    }
    const before = sent;
    const used = await processorSecondsIn(500);
    assert.equal(sent, before, "the endpoint waits");
    assert(used < 0.2, `${used} s of processor time while nothing happens`);
    assert(before < 60_000_000, `${before} bytes are in the kernel's and the relay's buffers`);
    let received = 0;
    const buffer = new Uint8Array(1_000_000);
    for (let count = await client.read(buffer); count !== null; count = await client.read(buffer)) {
      received += count;
    }
    assert.equal(received, total);
  });
}

Deno.test(
  "one service cannot take all connections, and above the limit clients wait",
  keepsLibraries,
  async () => {
    await using lab = await RelayLab.start({ maxConnections: 8 });
    await using _server = new TcpServer("10.1.0.1", echo);
    await lab.replace(relayedService(), OTHER);
    const open: Deno.TcpConn[] = [];
    const connect = async (address: Deno.ConnectOptions, count: number) => {
      for (let index = 0; index < count; index++) open.push(await Deno.connect(address));
      await until(async () => (await lab.report()).openConnections === open.length);
    };
    await connect(VIP, 6);
    assert.equal(await connectOrReset(VIP), "reset");
    await connect(OTHER_VIP, 2);
    using waiting = await Deno.connect(OTHER_VIP);
    await waiting.write(HELLO);
    await until(() => /too many are open/.test(lab.warnings.join()));
    assert.equal((await lab.report()).openConnections, 8);
    for (const connection of open) connection.close();
    assert.deepEqual(await exchange(waiting, new Uint8Array()), HELLO);
    const web = (await lab.report()).services.find(({ key }) => key === relayedService().key);
    assert.deepEqual({ connections: web?.connections, refused: web?.refused }, {
      connections: 6,
      refused: 1,
    });
    assert.match(lab.warnings.join(), /too many/);
  },
);

Deno.test("listeners take the files of connections, and at most half of all", keepsLibraries, async () => {
  await using _server = new TcpServer("10.1.0.1", echo);
  const loopback = (index: number) => address(`127.64.${index >> 8}.${index & 0xff}`);
  const many = (count: number) => ({
    ...OTHER,
    frontends: Array.from(
      { length: count },
      (_, index) => frontend({ port: 8000, listen: { address: loopback(index), port: 8000 } }),
    ),
  });
  const limit = openFileLimit();
  // 500 are left to the process, and 124 to pipes and UDP flows.
  limitOpenFiles(1000);
  const open: Deno.TcpConn[] = [];
  try {
    await using lab = await RelayLab.start();
    const failed = await lab.relay.replace([relayedService(), many(300)]);
    assert.equal(failed.length, 50 + lab.relay.listeners.length);
    assert.match(
      failed[0]?.reason ?? "",
      /^listen on 127\.64\.\S+:8000\/TCP: half of the files .* \(LimitNOFILE\)$/,
    );
    assert.equal((await lab.relay.replace([relayedService(), many(196)])).length, 0);
    for (let index = 0; index < 80; index++) {
      try {
        open.push(await Deno.connect(VIP));
      } catch (error) {
        // The reset may come before the connection is reported to be established.
        assert(error instanceof Deno.errors.ConnectionReset);
      }
    }
    // 88 connections, three quarters of which one service may have.
    await until(async () => (await lab.counters()).refused === 80 - 66);
    assert.equal((await lab.report()).openConnections, 66);
  } finally {
    limitOpenFiles(limit);
    for (const connection of open) connection.close();
  }
});

Deno.test(
  "without descriptors the relay waits, without using the processor, and then goes on",
  keepsLibraries,
  async () => {
    await using lab = await RelayLab.start();
    await using server = new PythonProgram(ECHO_SERVER);
    await server.line();
    await lab.replace(relayedService());
    const limit = openFileLimit();
    // A connection takes two. With an odd number, a client can be accepted but not connected to its endpoint.
    for (const more of [1, 2]) {
      await using clients = new PythonProgram(CLIENTS);
      try {
        const highest = Math.max(...[...Deno.readDirSync("/proc/self/fd")].map(({ name }) => Number(name)));
        limitOpenFiles(highest + more);
        clients.tell("connect");
        await clients.line();
        const used = await processorSecondsIn(1000);
        assert(used < 0.5, `${used} s of processor time in a second of waiting`);
      } finally {
        limitOpenFiles(limit);
      }
      clients.tell("exchange");
      assert.equal(await clients.line(), "200");
    }
    assert.equal((await lab.counters()).failures, 0);
    assert.match(lab.warnings.join(), /no file descriptors are left/);
  },
);

Deno.test("a UDP flow that begins without descriptors does not end the relay", keepsLibraries, async () => {
  await using lab = await RelayLab.start();
  await using _server = new TcpServer("10.1.0.1", echo);
  using _dns = await UdpServer.bind("dns", "10.1.0.1");
  await lab.replace(relayedService(), DNS);
  using client = await Deno.connect(VIP);
  // Without descriptors, accepting fails even when no client waits.
  await until(async () => (await lab.report()).openConnections === 1);
  using asker = await UdpClient.bind("192.0.2.1");
  const limit = openFileLimit();
  try {
    limitOpenFiles(3);
    asker.tell("lost", VIP.hostname, 53);
    await until(() => /datagrams are dropped/.test(lab.warnings.join()));
  } finally {
    limitOpenFiles(limit);
  }
  assert.equal(await asker.ask("a", VIP.hostname, 53), "dns: a from 10.96.0.10:53");
  assert.deepEqual(await exchange(client, HELLO), HELLO);
  assert.equal(lab.warnings.length, 1);
});

Deno.test(
  "when the local ports for an endpoint are used up, another endpoint takes over",
  keepsLibraries,
  async () => {
    await using lab = await RelayLab.start();
    await using _first = new TcpServer("10.1.0.1", echo);
    await using _second = new TcpServer("10.1.0.2", echo);
    await lab.replace(relayedService(), { ...OTHER, cluster: packed("10.1.0.1:8080", "10.1.0.2:8080") });
    const range = await run("sysctl", "-n", "net.ipv4.ip_local_port_range");
    // Outside the default range, where connections of the tests before are in state TIME_WAIT.
    await run("sysctl", "-qw", "net.ipv4.ip_local_port_range=20000 20003");
    try {
      const open: Deno.TcpConn[] = [];
      for (const vip of [VIP, VIP, VIP, VIP, OTHER_VIP, OTHER_VIP, OTHER_VIP, OTHER_VIP]) {
        const client = await Deno.connect(vip);
        open.push(client);
        await client.write(HELLO);
        assert.equal(await client.read(new Uint8Array(10)), 5);
      }
      for (const client of open) client.close();
      assert.deepEqual((await lab.report()).avoidedEndpoints, [], "the endpoint is not to blame");
    } finally {
      await run("sysctl", "-qw", `net.ipv4.ip_local_port_range=${range.trim()}`);
    }
  },
);

Deno.test("an idle connection takes little memory", keepsLibraries, async () => {
  await using lab = await RelayLab.start();
  await using server = new PythonProgram(IDLE_SERVER);
  await server.line();
  await lab.replace(relayedService());
  await using clients = new PythonProgram(IDLE_CLIENTS);
  clients.tell("500");
  await clients.line();
  const before = residentBytes();
  clients.tell("2000");
  await clients.line();
  const perConnection = (residentBytes() - before) / 2000;
  assert.equal((await lab.report()).openConnections, 2500);
  assert(perConnection < 8192, `${perConnection} bytes`);
});

Deno.test("many clients that do not read take little memory", keepsLibraries, async () => {
  // The kernel's buffers are bounded by sysctls, too.
  const sizes = ["net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"];
  const before = await Promise.all(sizes.map((name) => run("sysctl", "-n", name)));
  for (const name of sizes) await run("sysctl", "-qw", `${name}=4096 131072 131072`);
  try {
    await using lab = await RelayLab.start({ mover: "copy" });
    await using server = new PythonProgram(FLOODING_SERVER);
    await server.line();
    await lab.replace(relayedService());
    await using clients = new PythonProgram(IDLE_CLIENTS);
    clients.tell("1100");
    await clients.line();
    await sleep(1000);
    const resident = residentBytes();
    clients.tell("400");
    await clients.line();
    await sleep(1000);
    const perClient = (residentBytes() - resident) / 400;
    // 16 KiB wait for each, and without the bound 128 KiB. The rest is for garbage that V8 has not collected.
    assert(perClient < 48 * 1024, `${perClient} bytes`);
  } finally {
    for (const [index, name] of sizes.entries()) {
      await run("sysctl", "-qw", `${name}=${before[index]?.trim()}`);
    }
  }
});

const LISTENER = `
import selectors, socket, sys
server = socket.socket()
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind(("10.1.0.1", 8080))
server.listen(4096)
print("ready", flush=True)
`;

const ECHO_SERVER = `${LISTENER}
selector = selectors.DefaultSelector()
selector.register(server, selectors.EVENT_READ)
while True:
    for key, _ in selector.select():
        if key.fileobj is server:
            selector.register(server.accept()[0], selectors.EVENT_READ)
        else:
            data = key.fileobj.recv(100)
            if data:
                key.fileobj.send(data)
            else:
                selector.unregister(key.fileobj)
                key.fileobj.close()
`;

/** Connects 200 times, and counts the answers. */
const CLIENTS = `
import socket, sys
sys.stdin.readline()
clients = [socket.create_connection(("10.96.0.10", 80)) for _ in range(200)]
print("connected", flush=True)
sys.stdin.readline()
for client in clients:
    client.settimeout(20)
    client.send(b"x")
print(sum(client.recv(1) == b"x" for client in clients), flush=True)
sys.stdin.readline()
`;

const IDLE_SERVER = `${LISTENER}
connections = []
while True:
    connection = server.accept()[0]
    connection.send(b"x")
    connections.append(connection)
`;

/** Sends to each client until its buffers are full. */
const FLOODING_SERVER = `${LISTENER}
selector = selectors.DefaultSelector()
selector.register(server, selectors.EVENT_READ)
chunk = bytes(1000000)
while True:
    for key, _ in selector.select():
        if key.fileobj is server:
            connection = server.accept()[0]
            connection.setblocking(False)
            selector.register(connection, selectors.EVENT_WRITE)
        else:
            key.fileobj.send(chunk)
`;

/** Opens as many connections as each line says, and waits until the endpoint has greeted on each. */
const IDLE_CLIENTS = `
import socket, sys
clients = []
for line in sys.stdin:
    for _ in range(int(line)):
        client = socket.create_connection(("10.96.0.10", 80))
        client.recv(1)
        clients.append(client)
    print("connected", flush=True)
`;

/** Sets the limit of this process. A command could not be started while there are no descriptors. */
function limitOpenFiles(count: number): void {
  const limit = new BigUint64Array(2);
  libc().getrlimit(RLIMIT_NOFILE, limit);
  limit[0] = BigInt(count);
  libc().setrlimit(RLIMIT_NOFILE, limit);
}

function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** Returns the processor time of this process during a wait. */
async function processorSecondsIn(milliseconds: number): Promise<number> {
  const before = processorSeconds();
  await sleep(milliseconds);
  return processorSeconds() - before;
}

/** Returns the processor time of this process, in seconds, without opening a file. */
function processorSeconds(): number {
  const time = new BigInt64Array(2);
  libc().clock_gettime(CLOCK_PROCESS_CPUTIME_ID, time);
  return Number(time[0]) + Number(time[1]) / 1e9;
}

const CLOCK_PROCESS_CPUTIME_ID = 2; // linux/time.h

function residentBytes(): number {
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(Deno.readTextFileSync("/proc/self/status"))?.[1]) * 1024;
}
