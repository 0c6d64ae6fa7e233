import assert from "node:assert/strict";
import { compile } from "../../../../backends/ipvs/compile.ts";
import { type ActualServer, type Assignment, diffServers } from "../../../../backends/ipvs/servers/diff.ts";
import { GracefulTermination } from "../../../../backends/ipvs/servers/graceful_termination.ts";
import { formatSocketAddress } from "../../../../core/net/address.ts";
import type { Protocol } from "../../../../core/net/protocol.ts";
import { planOf, settingsOf } from "../../plans.ts";
import { defaultOptions } from "../options.ts";
import { differenceTexts } from "../texts.ts";

const MAX_MS = 60_000;

/** The virtual server of a service. */
function servers(endpoints: readonly string[], protocol: Protocol = "TCP", scheduler = "rr") {
  const plan = planOf({ clusterIP: "10.96.0.10:80", protocol, endpoints });
  return compile(plan, settingsOf("IPv4"), { ...defaultOptions, scheduler }).servers;
}

const both = servers(["10.1.1.1:80", "10.1.1.2:80"]);
const one = servers(["10.1.1.1:80"]);

function change(
  termination: GracefulTermination,
  before: readonly ActualServer[],
  after: typeof both,
  nowMs = 0,
): string[] {
  return differenceTexts(termination.deferRemovals(diffServers(after, before), nowMs));
}

function changeFromKernel(
  termination: GracefulTermination,
  actual: readonly ActualServer[],
  after: typeof both,
): string[] {
  return differenceTexts(termination.deferRemovalsFromKernel(diffServers(after, actual), 0));
}

function names(assignments: Iterable<Assignment>): string[] {
  return [...assignments].map(({ realServer: { address, port } }) => formatSocketAddress(address, port));
}

Deno.test("a removed TCP server gets no new connections, and is deleted when its last one has ended", () => {
  const termination = new GracefulTermination(MAX_MS);
  assert.deepEqual(change(termination, both, one), ["* 10.96.0.10:80/TCP -> 10.1.1.2:80 weight 0"]);
  assert.deepEqual(names(termination.drained(() => 1, 1000)), []);
  const drained = termination.drained(() => 0, 1000);
  assert.deepEqual(names(drained), ["10.1.1.2:80"]);
  // The deletion may fail, so it stays until stopDraining.
  assert.deepEqual(names(termination.drained(() => 0, 1000)), ["10.1.1.2:80"]);
  for (const assignment of drained) termination.stopDraining(assignment);
  assert.deepEqual(names(termination), []);
});

Deno.test("connections that do not end keep a removed real server for a limited time", () => {
  const termination = new GracefulTermination(MAX_MS);
  change(termination, both, one, 5000);
  assert.deepEqual(names(termination.drained(() => 1, 5000 + MAX_MS - 1)), []);
  assert.deepEqual(names(termination.drained(() => 1, 5000 + MAX_MS)), ["10.1.1.2:80"]);
});

Deno.test("each real server counts its own connections", () => {
  const termination = new GracefulTermination(MAX_MS);
  change(termination, both, servers([]));
  const busy = both[0]?.realServers[1]?.address;
  const drained = termination.drained(({ realServer }) => realServer.address === busy ? 3 : 0, 1000);
  assert.deepEqual(names(drained), ["10.1.1.1:80"]);
});

Deno.test("UDP and SCTP servers are removed immediately", () => {
  for (const protocol of ["UDP", "SCTP"] as const) {
    const termination = new GracefulTermination(MAX_MS);
    const before = servers(["10.1.1.1:80"], protocol);
    assert.deepEqual(change(termination, before, servers([], protocol)), [
      `- 10.96.0.10:80/${protocol} -> 10.1.1.1:80`,
    ]);
    assert.deepEqual(names(termination), []);
  }
});

Deno.test("under dh, which picks servers of weight 0, all are removed immediately", () => {
  const termination = new GracefulTermination(MAX_MS);
  const [before, after] = [["10.1.1.1:80", "10.1.1.2:80"], ["10.1.1.1:80"]].map((of) =>
    servers(of, "TCP", "dh")
  );
  assert.deepEqual(change(termination, before ?? [], after ?? []), ["- 10.96.0.10:80/TCP -> 10.1.1.2:80"]);
  assert.deepEqual(names(termination), []);
});

Deno.test("a draining server that is added again gets its weight back, and is not deleted later", () => {
  const termination = new GracefulTermination(MAX_MS);
  change(termination, both, one);
  assert.deepEqual(change(termination, one, both), ["* 10.96.0.10:80/TCP -> 10.1.1.2:80"]);
  assert.deepEqual(names(termination.drained(() => 0, MAX_MS)), []);
  // Deleted meanwhile, it is added like any other.
  change(termination, both, one);
  for (const assignment of termination.drained(() => 0, 1000)) termination.stopDraining(assignment);
  assert.deepEqual(change(termination, one, both), ["+ 10.96.0.10:80/TCP -> 10.1.1.2:80"]);
});

Deno.test("the removal of a virtual server ends the draining of its real servers", () => {
  const termination = new GracefulTermination(MAX_MS);
  change(termination, both, one);
  assert.deepEqual(change(termination, one, []), ["- 10.96.0.10:80/TCP rr"]);
  assert.deepEqual(names(termination), []);
  assert.deepEqual(change(termination, [], both).filter((text) => text.startsWith("*")), []);
});

Deno.test("servers of weight 0 from an earlier process drain, and a repeated removal keeps their deadline", () => {
  const termination = new GracefulTermination(MAX_MS);
  const left = both.map((server) => ({
    ...server,
    realServers: server.realServers.map((realServer, index) => ({ ...realServer, weight: 1 - index })),
  }));
  assert.deepEqual(change(termination, left, one, 0), []);
  assert.deepEqual(names(termination), ["10.1.1.2:80"]);
  assert.deepEqual(change(termination, left, one, 50_000), []);
  assert.deepEqual(names(termination.drained(() => 1, MAX_MS)), ["10.1.1.2:80"]);
  // Read from the kernel, and desired again.
  assert.deepEqual(changeFromKernel(termination, left, both), ["* 10.96.0.10:80/TCP -> 10.1.1.2:80"]);
  assert.deepEqual(names(termination), []);
});

const oneAtZero = servers(["10.1.1.1:80", "10.1.1.2:80 weight 0"]);

Deno.test("a real server with desired weight 0 does not drain", () => {
  const termination = new GracefulTermination(MAX_MS);
  assert.deepEqual(change(termination, both, oneAtZero), ["* 10.96.0.10:80/TCP -> 10.1.1.2:80 weight 0"]);
  assert.deepEqual(names(termination), []);
  assert.deepEqual(change(termination, oneAtZero, both), ["* 10.96.0.10:80/TCP -> 10.1.1.2:80"]);
});

Deno.test("a removed server that had weight 0 before keeps its connections, too", () => {
  const termination = new GracefulTermination(MAX_MS);
  assert.deepEqual(change(termination, oneAtZero, one), []);
  assert.deepEqual(names(termination.drained(() => 1, 1000)), []);
  assert.deepEqual(names(termination.drained(() => 0, 1000)), ["10.1.1.2:80"]);
});

Deno.test("a draining server that is added again with weight 0 is not deleted later", () => {
  const termination = new GracefulTermination(MAX_MS);
  change(termination, both, one);
  assert.deepEqual(change(termination, one, oneAtZero), ["* 10.96.0.10:80/TCP -> 10.1.1.2:80 weight 0"]);
  assert.deepEqual(names(termination), []);
});

Deno.test("a server that is desired when the kernel is read does not drain, whatever its weight there", () => {
  for (const [actual, desired] of [[oneAtZero, oneAtZero], [both, both], [oneAtZero, both]] as const) {
    const termination = new GracefulTermination(MAX_MS);
    change(termination, both, one);
    changeFromKernel(termination, actual, desired);
    assert.deepEqual(names(termination), []);
  }
  const termination = new GracefulTermination(MAX_MS);
  change(termination, both, one);
  changeFromKernel(termination, oneAtZero, one);
  assert.deepEqual(names(termination), ["10.1.1.2:80"]);
});
