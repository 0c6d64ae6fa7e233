import assert from "node:assert/strict";
import { IpvsConnection } from "../../../backends/ipvs/protocol/connection.ts";
import type { RealServer, VirtualServer } from "../../../backends/ipvs/servers/virtual_server.ts";
import { sameVirtualServer } from "../../../backends/ipvs/servers/virtual_server.ts";
import { real, virtual } from "../../backends/ipvs/servers.ts";
import { run } from "../../integration/support/network_namespace.ts";

/** Runs in a network namespace made by tests/integration/ipvs/kernel_test.ts. */

// Libraries stay open for the life of the process, and sockets are closed off the main thread.
const keepsLibraries = { sanitizeResources: false, sanitizeOps: false };

const web = virtual("10.96.0.10:80/TCP", { scheduler: "rr" });
const dns = virtual("10.96.0.11:53/UDP", { scheduler: "wrr", persistenceSeconds: 10800 });
const sctp = virtual("[fd00:96::a]:443/SCTP", { scheduler: "mh", flags: 0x10, persistenceSeconds: 60 });

/** Output of `ipvsadm -Sn`, which it also reads. */
async function saved(): Promise<string[]> {
  return (await run("ipvsadm", "-Sn")).split("\n").map((line) => line.trim()).filter((line) => line !== "")
    .sort();
}

async function addedAll(connection: IpvsConnection): Promise<void> {
  const refused = await connection.perform([
    { verb: "add", server: web },
    { verb: "add", server: dns },
    { verb: "add", server: sctp },
    { verb: "add real", server: web, realServer: real("10.1.0.1:8080") },
    { verb: "add real", server: web, realServer: real("10.1.0.2:8080", 3) },
    { verb: "add real", server: sctp, realServer: real("[fd00:1::1]:8443") },
  ]);
  assert.deepEqual(refused, []);
}

Deno.test("added servers are listed by ipvsadm, and read back unchanged", keepsLibraries, async () => {
  using connection = await IpvsConnection.open();
  await connection.flush();
  await addedAll(connection);
  assert.deepEqual(await saved(), [
    "-A --sctp-service [fd00:96::a]:443 -s mh -p 60 -b mh-port",
    "-A -t 10.96.0.10:80 -s rr",
    "-A -u 10.96.0.11:53 -s wrr -p 10800",
    "-a --sctp-service [fd00:96::a]:443 -r [fd00:1::1]:8443 -m -w 1",
    "-a -t 10.96.0.10:80 -r 10.1.0.1:8080 -m -w 1",
    "-a -t 10.96.0.10:80 -r 10.1.0.2:8080 -m -w 3",
  ]);
  const found = await connection.virtualServers();
  assert.equal(found.length, 3);
  for (const wanted of [web, dns, sctp]) {
    const one = found.find(({ port }) => port === wanted.port);
    assert.ok(one !== undefined && sameVirtualServer(wanted, one), JSON.stringify(one));
    assert.deepEqual([one.family, one.protocol, one.address], [
      wanted.family,
      wanted.protocol,
      wanted.address,
    ]);
  }
  const reals = await connection.realServers(web);
  assert.deepEqual(reals.map(plain).sort((a, b) => a.weight - b.weight), [
    real("10.1.0.1:8080"),
    real("10.1.0.2:8080", 3),
  ]);
  assert.deepEqual((await connection.realServers(sctp)).map(plain), [real("[fd00:1::1]:8443")]);
  assert.deepEqual(await connection.realServers(dns), []);
});

Deno.test("servers are changed and removed", keepsLibraries, async () => {
  using connection = await IpvsConnection.open();
  await connection.flush();
  await addedAll(connection);
  const refused = await connection.perform([
    { verb: "change", server: { ...dns, scheduler: "rr", persistenceSeconds: 0 } },
    { verb: "change real", server: web, realServer: real("10.1.0.2:8080", 0) },
    { verb: "remove real", server: web, realServer: real("10.1.0.1:8080") },
    { verb: "remove", server: sctp },
  ]);
  assert.deepEqual(refused, []);
  assert.deepEqual(await saved(), [
    "-A -t 10.96.0.10:80 -s rr",
    "-A -u 10.96.0.11:53 -s rr",
    "-a -t 10.96.0.10:80 -r 10.1.0.2:8080 -m -w 0",
  ]);
  await connection.flush();
  assert.deepEqual(await saved(), []);
});

Deno.test(
  "each rejected command is reported with its reason, and the others are in force",
  keepsLibraries,
  async () => {
    using connection = await IpvsConnection.open();
    await connection.flush();
    const refused = await connection.perform([
      { verb: "add", server: web },
      { verb: "add", server: web },
      { verb: "add", server: { ...dns, scheduler: "nosuch" } },
      { verb: "add real", server: dns, realServer: real("10.1.0.1:53") },
      { verb: "add real", server: web, realServer: real("10.1.0.1:8080") },
      { verb: "add real", server: web, realServer: real("10.1.0.1:8080") },
      { verb: "remove real", server: web, realServer: real("10.1.0.9:8080") },
      { verb: "remove", server: sctp },
    ]);
    assert.deepEqual(refused.map(({ error }) => `${error.operation}: ${error.errnoName}`), [
      "add virtual server 10.96.0.10:80/TCP: EEXIST",
      "add virtual server 10.96.0.11:53/UDP: ENOENT",
      "add real server 10.1.0.1:53 to virtual server 10.96.0.11:53/UDP: ESRCH",
      "add real server 10.1.0.1:8080 to virtual server 10.96.0.10:80/TCP: EEXIST",
      "remove real server 10.1.0.9:8080 from virtual server 10.96.0.10:80/TCP: ENOENT",
      "remove virtual server [fd00:96::a]:443/SCTP: ESRCH",
    ]);
    assert.deepEqual(await saved(), [
      "-A -t 10.96.0.10:80 -s rr",
      "-a -t 10.96.0.10:80 -r 10.1.0.1:8080 -m -w 1",
    ]);
  },
);

Deno.test("foreign servers are decoded", keepsLibraries, async () => {
  using connection = await IpvsConnection.open();
  await connection.flush();
  await run("ipvsadm", "-A", "-f", "7", "-s", "rr");
  await run("ipvsadm", "-A", "-t", "10.96.0.10:80", "-s", "rr", "-p", "60", "-M", "255.255.255.0");
  await run("ipvsadm", "-a", "-t", "10.96.0.10:80", "-r", "10.1.0.1:80", "-g");
  const [found, ...others] = await connection.virtualServers();
  assert.deepEqual(others, [], "one of a firewall mark is none of ours");
  assert.deepEqual([found?.persistenceSeconds, found?.persistencePrefix], [60, 24]);
  assert.equal((await connection.realServers(web))[0]?.isMasqueraded, false);
});

Deno.test("timeouts of 0 leave the kernel's values", keepsLibraries, async () => {
  using connection = await IpvsConnection.open();
  await connection.setTimeouts({ tcpSeconds: 900, tcpFinSeconds: 120, udpSeconds: 300 });
  await connection.setTimeouts({ tcpSeconds: 0, tcpFinSeconds: 60, udpSeconds: 0 });
  assert.deepEqual(await connection.timeouts(), { tcpSeconds: 900, tcpFinSeconds: 60, udpSeconds: 300 });
  assert.match(await run("ipvsadm", "-L", "--timeout"), /: 900 60 300/);
});

Deno.test("a connection is balanced, and its real server counts it as active", keepsLibraries, async () => {
  using connection = await IpvsConnection.open();
  await connection.flush();
  await run("ip", "addr", "add", "10.1.0.1/32", "dev", "lo");
  await run("ip", "addr", "add", "10.96.0.10/32", "dev", "lo");
  using listener = Deno.listen({ hostname: "10.1.0.1", port: 8080 });
  await connection.perform([
    { verb: "add", server: web },
    { verb: "add real", server: web, realServer: real("10.1.0.1:8080") },
  ]);
  using client = await Deno.connect({ hostname: "10.96.0.10", port: 80 });
  using accepted = await listener.accept();
  assert.deepEqual(accepted.remoteAddr, client.localAddr);
  const [endpoint] = await connection.realServers(web);
  assert.deepEqual([endpoint?.active, endpoint?.inactive], [1, 0]);
});

Deno.test("thousands of commands are sent and acknowledged while timers run", keepsLibraries, async () => {
  using connection = await IpvsConnection.open();
  await connection.flush();
  const servers = Array.from({ length: 500 }, (_, index) => {
    return virtual(`10.97.${index >> 8}.${index & 0xff}:80/TCP`, { scheduler: "rr" });
  });
  const endpoints = Array.from({ length: 10 }, (_, index) => real(`10.1.0.${index}:8080`));
  let turns = 0;
  const other = setInterval(() => turns++, 1);
  const started = performance.now();
  const refused = await connection.perform(everything(servers, endpoints));
  const added = performance.now() - started;
  clearInterval(other);
  assert.deepEqual(refused, []);
  assert.ok(turns > 0, "others had their turn");
  const found = await connection.virtualServers();
  assert.equal(found.length, servers.length);
  let reals = 0;
  for (const server of found) reals += (await connection.realServers(server)).length;
  assert.equal(reals, servers.length * endpoints.length);
  console.log(
    `5,500 commands: ${added.toFixed(0)} ms; read back: ${
      (performance.now() - started - added).toFixed(0)
    } ms`,
  );
  await connection.flush();
});

function* everything(servers: readonly VirtualServer[], endpoints: readonly RealServer[]) {
  for (const server of servers) {
    yield { verb: "add", server } as const;
    for (const realServer of endpoints) yield { verb: "add real", server, realServer } as const;
  }
}

function plain({ address, port, weight }: RealServer): RealServer {
  return { address, port, weight };
}
