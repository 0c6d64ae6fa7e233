import assert from "node:assert/strict";
import type { HealthCheck } from "../../../../core/plan/health_check.ts";
import type { NodePortAddresses } from "../../../../core/plan/node_settings.ts";
import type { Family } from "../../../../core/net/protocol.ts";
import { HealthCheckPorts, listenersOf } from "../../../../core/observe/health/health_check_ports.ts";
import type { Log } from "../../../../core/observe/log.ts";
import type { ServiceWarning } from "../../../../core/source.ts";
import { silentLog } from "../log/silent_log.ts";
import { address } from "../../plan/builders.ts";

function check(name: string, port: number, endpoints: readonly (readonly [Family, number])[]): HealthCheck {
  return { namespace: "default", name, port, localEndpoints: new Map(endpoints) };
}

const everywhere: NodePortAddresses = {
  IPv4: { isAll: true, addresses: [address("127.0.0.1")] },
  IPv6: { isAll: true, addresses: [address("::1"), address("fe80::1")] },
};
const loopback: NodePortAddresses = {
  IPv4: { isAll: false, addresses: [address("127.0.0.1")] },
  IPv6: { isAll: false, addresses: [address("::1")] },
};

class Harness implements AsyncDisposable {
  isHealthy = true;
  readonly logged: string[] = [];
  readonly warnings: ServiceWarning[] = [];
  readonly port = freePort();
  readonly #ports: HealthCheckPorts;
  readonly #addresses: NodePortAddresses;

  constructor(addresses = loopback) {
    this.#addresses = addresses;
    const keep: Log["error"] = (message, fields) => this.logged.push(`${message} ${JSON.stringify(fields)}`);
    const log: Log = { ...silentLog, error: keep, warn: keep };
    const warn = (warning: ServiceWarning) => this.warnings.push(warning);
    this.#ports = new HealthCheckPorts({ isHealthy: () => this.isHealthy, log, warn, retryMs: 10 });
  }

  async sync(
    changes: Readonly<Record<string, HealthCheck | undefined>>,
    addresses = this.#addresses,
  ): Promise<void> {
    this.#ports.sync(new Map(Object.entries(changes)), addresses);
    await this.#ports.settled();
  }

  async ask(host = "127.0.0.1", init: RequestInit = {}): Promise<Response> {
    return await fetch(`http://${host}:${this.port}/any/path?x`, init);
  }

  /** "200 2" for two local endpoints; "closed" when nothing listens. */
  async see(host = "127.0.0.1"): Promise<string> {
    try {
      const response = await this.ask(host);
      return `${response.status} ${(await response.json()).localEndpoints}`;
    } catch (error) {
      if (error instanceof TypeError) return "closed";
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#ports[Symbol.asyncDispose]();
  }
}

function freePort(): number {
  using listener = Deno.listen({ hostname: "::", port: 0 });
  return listener.addr.port;
}

Deno.test("a port is opened and closed with its Service, and answers the current state", async () => {
  await using h = new Harness();
  assert.equal(await h.see(), "closed");
  await h.sync({ web: check("web", h.port, [["IPv4", 2]]) });
  assert.equal(await h.see(), "200 2");
  assert.equal(await h.see("[::1]"), "closed", "the Service has no IPv6");
  await h.sync({ web: check("web", h.port, [["IPv4", 0]]) });
  assert.equal(await h.see(), "503 0");
  await h.sync({ web: check("web", h.port, [["IPv4", 1]]) });
  h.isHealthy = false;
  assert.equal(await h.see(), "503 1");
  await h.sync({ web: undefined });
  assert.equal(await h.see(), "closed");
  await h.sync({ web: check("web", h.port, [["IPv4", 3]]) });
  h.isHealthy = true;
  assert.equal(await h.see(), "200 3", "opened again at once");
});

Deno.test("every path, method and accepted encoding gets the same bytes", async () => {
  await using h = new Harness();
  await h.sync({ web: check("web", h.port, [["IPv4", 1]]) });
  const get = await h.ask("127.0.0.1", { headers: { "accept-encoding": "gzip, br" } });
  assert.equal(get.headers.get("content-encoding"), null);
  assert.equal(get.headers.get("content-type"), "application/json");
  assert.equal(get.headers.get("x-content-type-options"), "nosniff");
  assert.equal(get.headers.get("x-load-balancing-endpoint-weight"), "1");
  const text = await get.text();
  assert.match(text, /^\{\n\t"service": \{\n/);
  assert.equal(await (await h.ask("127.0.0.1", { method: "POST", body: "hello" })).text(), text);
  const head = await h.ask("127.0.0.1", { method: "HEAD" });
  assert.deepEqual([head.status, await head.text()], [200, ""]);
});

Deno.test("each family has its own answer, on its own addresses or on all addresses of the node", async () => {
  for (const addresses of [loopback, everywhere]) {
    await using h = new Harness(addresses);
    await h.sync({ web: check("web", h.port, [["IPv4", 1], ["IPv6", 2]]) });
    assert.deepEqual([await h.see(), await h.see("[::1]")], ["200 1", "200 2"]);
    await h.sync({ web: check("web", h.port, [["IPv6", 3]]) });
    assert.deepEqual([await h.see(), await h.see("[::1]")], ["closed", "200 3"]);
    await h.sync({ web: check("web", h.port, [["IPv4", 4]]) });
    assert.deepEqual([await h.see(), await h.see("[::1]")], ["200 4", "closed"]);
  }
});

Deno.test("ports follow the addresses of the node", async () => {
  await using h = new Harness();
  await h.sync({ web: check("web", h.port, [["IPv4", 1]]) });
  await h.sync({}, { ...loopback, IPv4: { isAll: false, addresses: [address("127.0.0.2")] } });
  assert.deepEqual([await h.see(), await h.see("127.0.0.2")], ["closed", "200 1"]);
});

Deno.test("a port that moves from one Service to another stays open and answers for the new one", async () => {
  await using h = new Harness();
  await h.sync({ a: check("a", h.port, [["IPv4", 1]]), b: check("b", h.port, [["IPv4", 2]]) });
  assert.equal(await h.see(), "200 1");
  assert.match(h.logged.join(), /belongs to another Service .*"service":"b","servedFor":"a"/);
  await h.sync({ a: undefined });
  assert.equal(await h.see(), "200 2");
});

Deno.test("a port in use is reported once with the Service's name, and served when it becomes free", async () => {
  await using h = new Harness();
  const taken = Deno.listen({ hostname: "127.0.0.1", port: h.port });
  await h.sync({ web: check("web", h.port, [["IPv4", 1]]) });
  await h.sync({});
  await h.sync({});
  assert.equal(h.logged.length, 1, h.logged.join("\n"));
  assert.match(
    h.logged[0] ?? "",
    /"service":"default\/web","port":\d+,"problem":"127.0.0.1:\d+: another process/,
  );
  const [{ note, ...warning } = { note: "" }, ...more] = h.warnings;
  assert.deepEqual([warning, more], [{
    namespace: "default",
    name: "web",
    reason: "FailedToStartServiceHealthcheck",
    action: "Listen",
  }, []]);
  assert.match(
    note,
    /^failed to start healthcheck "default\/web" on port \d+: 127.0.0.1:\d+: another process/,
  );
  taken.close();
  await h.sync({});
  assert.equal(await h.see(), "200 1");
});

Deno.test("a port in use is tried again after a while, also without a sync", async () => {
  await using h = new Harness();
  const taken = Deno.listen({ hostname: "127.0.0.1", port: h.port });
  await h.sync({ web: check("web", h.port, [["IPv4", 1]]) });
  taken.close();
  const deadline = Date.now() + 5000;
  while (await h.see() === "closed") assert.ok(Date.now() < deadline, "still closed");
  assert.equal(await h.see(), "200 1");
});

Deno.test("IPv6 has one listener per address unless IPv4 is served everywhere as well", () => {
  const listeners = (families: readonly Family[], addresses: NodePortAddresses) =>
    [...listenersOf(new Set(families), addresses)].map(([hostname, family]) => `${hostname} ${family}`);
  assert.deepEqual(listeners(["IPv4", "IPv6"], everywhere), [":: both"]);
  assert.deepEqual(listeners(["IPv4"], everywhere), ["0.0.0.0 IPv4"]);
  assert.deepEqual(listeners(["IPv6"], everywhere), ["::1 IPv6"], "not on link-local addresses");
  assert.deepEqual(listeners(["IPv4", "IPv6"], { ...everywhere, IPv4: loopback.IPv4 }), [
    "127.0.0.1 IPv4",
    "::1 IPv6",
  ]);
  const nowhere = { isAll: false, addresses: [] };
  assert.deepEqual(listeners(["IPv4", "IPv6"], { ...loopback, IPv4: nowhere }), ["::1 IPv6"]);
  assert.deepEqual(listeners(["IPv4", "IPv6"], { IPv4: nowhere, IPv6: nowhere }), []);
});
