import assert from "node:assert/strict";
import type { Family } from "../../../../core/net/protocol.ts";
import { ProxyHealth } from "../../../../core/observe/health/health.ts";

const start = Date.UTC(2025, 10, 20, 12, 0, 0);

/** A health with clocks that the test moves: `now` moves both, `wall` is a correction of the wall clock. */
function stopped(eligible = true) {
  const clock = { now: start, wall: 0 };
  const rejectedSince = new Map<Family, number>();
  const health = new ProxyHealth({
    families: ["IPv4", "IPv6"],
    timeoutMs: 60_000,
    eligible,
    rejectedSince: (family) => rejectedSince.get(family),
    now: () => clock.now + clock.wall,
    monotonic: () => clock.now - start,
  });
  return { clock, health, rejectedSince };
}

const at = (seconds: number) => new Date(start + seconds * 1000).toISOString();

Deno.test("a proxy that has not started to sync is alive", () => {
  const { health, clock } = stopped();
  health.queuedUpdate("IPv4");
  clock.now += 600_000;
  assert.equal(health.livez().ok, true);
  assert.deepEqual(health.livez().body.status, {});
});

Deno.test("a change may wait for at most twice the sync period", () => {
  const { health, clock } = stopped();
  health.updated("IPv4");
  health.updated("IPv6");
  health.queuedUpdate("IPv4");
  clock.now += 59_999;
  assert.equal(health.healthz().ok, true);
  clock.now += 1;
  assert.equal(health.healthz().ok, false);
  assert.equal(health.livez().ok, false);
  assert.deepEqual(health.livez().body.status, {
    IPv4: { lastUpdated: at(0), healthy: false },
    IPv6: { lastUpdated: at(0), healthy: true },
  });
});

Deno.test("the oldest waiting change counts until it is in force", () => {
  const { health, clock } = stopped();
  health.updated("IPv4");
  health.queuedUpdate("IPv4");
  clock.now += 50_000;
  health.queuedUpdate("IPv4");
  clock.now += 10_000;
  assert.equal(health.healthy, false);
  health.syncStarted("IPv4");
  assert.equal(health.healthy, false);
  health.updated("IPv4");
  assert.equal(health.healthy, true);
  clock.now += 600_000;
  assert.equal(health.healthy, true, "nothing waits");
});

Deno.test("a sync that fails again and again, or hangs, is late although nothing else was queued", () => {
  const { health, clock } = stopped();
  health.updated("IPv4");
  health.syncStarted("IPv4");
  clock.now += 59_000;
  health.syncStarted("IPv4");
  clock.now += 1_000;
  assert.equal(health.healthy, false);
  assert.equal(health.livez().ok, false);
});

Deno.test("changes that never stop coming are in time as long as each is in force in time", () => {
  const { health, clock } = stopped();
  health.updated("IPv4");
  for (let i = 0; i < 100; i++) {
    health.queuedUpdate("IPv4");
    health.syncStarted("IPv4");
    clock.now += 5_000;
    health.queuedUpdate("IPv4");
    health.updated("IPv4");
    assert.equal(health.healthy, true);
  }
  clock.now += 60_000;
  assert.equal(health.healthy, false, "the change that came last waits");
});

Deno.test("what the kernel rejects fails healthz after the timeout, but a restart would not help", () => {
  const { health, clock, rejectedSince } = stopped();
  health.updated("IPv4");
  health.updated("IPv6");
  clock.now += 10_000;
  rejectedSince.set("IPv4", 10_000);
  health.syncStarted("IPv4");
  health.updated("IPv4");
  clock.now += 59_999;
  assert.equal(health.healthz().ok, true);
  clock.now += 1;
  const { ok, body } = health.healthz();
  assert.equal(ok, false);
  assert.equal(body.healthy, false);
  assert.deepEqual(body.status, {
    IPv4: { lastUpdated: at(0), healthy: false },
    IPv6: { lastUpdated: at(0), healthy: true },
  });
  assert.equal(health.livez().ok, true);
  assert.equal(health.livez().body.healthy, true);
  rejectedSince.clear();
  assert.equal(health.healthz().ok, true);
});

Deno.test("a corrected wall clock changes no verdict", () => {
  const { health, clock } = stopped();
  health.updated("IPv4");
  health.queuedUpdate("IPv4");
  clock.wall = 3_600_000;
  assert.equal(health.healthy, true);
  clock.wall = -3_600_000;
  clock.now += 60_000;
  assert.equal(health.healthy, false);
});

Deno.test("lastUpdated is the current time with status 200, otherwise the last update of a family", () => {
  const { health, clock } = stopped();
  health.updated("IPv4");
  clock.now += 5_000;
  health.updated("IPv6");
  health.queuedUpdate("IPv4");
  clock.now += 20_000;
  assert.equal(health.livez().body.lastUpdated, at(25));
  clock.now += 100_000;
  assert.equal(health.livez().body.lastUpdated, at(5));
  assert.equal(health.livez().body.currentTime, at(125));
});

Deno.test("a node that is being removed is unhealthy for load balancers, but alive", () => {
  const { health } = stopped();
  health.updated("IPv4");
  health.setEligible(false);
  const { ok, body } = health.healthz();
  assert.equal(ok, false);
  assert.equal(body.nodeEligible, false);
  assert.equal(body.healthy, true, "as upstream: what is not well is the node, not the proxy");
  assert.equal(health.livez().ok, true);
  assert.equal(health.livez().body.nodeEligible, undefined);
});

Deno.test("a node is not eligible before its expected Node object is known", () => {
  const { health } = stopped(false);
  assert.equal(health.healthz().ok, false);
  assert.equal(health.healthz().body.lastUpdated, "0001-01-01T00:00:00Z");
  health.setEligible(true);
  assert.equal(health.healthz().ok, true);
});

Deno.test("a lost source is reported with its time, and does not make the proxy unhealthy", () => {
  const { health, clock } = stopped();
  health.updated("IPv4");
  assert.deepEqual(health.healthz().body.source, { connected: true });
  health.setConnected(false);
  clock.now += 3_600_000;
  health.setConnected(false);
  assert.deepEqual(health.healthz().body.source, { connected: false, lostAt: at(0) });
  assert.equal(health.healthz().ok, true);
  health.setConnected(true);
  assert.deepEqual(health.healthz().body.source, { connected: true });
});

Deno.test("the keys are in kube-proxy's order", () => {
  const { health } = stopped();
  health.updated("IPv4");
  assert.deepEqual(
    Object.keys(health.healthz().body),
    ["lastUpdated", "currentTime", "nodeEligible", "healthy", "status", "source"],
  );
});
