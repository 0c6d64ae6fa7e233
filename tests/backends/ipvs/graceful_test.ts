import assert from "node:assert/strict";
import { compile } from "../../../backends/ipvs/compile.ts";
import { type Assignment, diffServers, type PresentServer } from "../../../backends/ipvs/servers/diff.ts";
import { GracefulRemoval } from "../../../backends/ipvs/servers/graceful_termination.ts";
import { formatSocketAddress } from "../../../core/net/address.ts";
import type { Protocol } from "../../../core/net/protocol.ts";
import { planOf, settingsOf } from "../plans.ts";
import { defaultOptions } from "./options.ts";
import { differenceTexts } from "./texts.ts";

const LONGEST_MS = 60_000;

/** The virtual server of a service with these endpoints. */
function servers(endpoints: readonly string[], protocol: Protocol = "TCP", scheduler = "rr") {
  const plan = planOf({ clusterIP: "10.96.0.10:80", protocol, endpoints });
  return compile(plan, settingsOf("IPv4"), { ...defaultOptions, scheduler }).servers;
}

const both = servers(["10.1.1.1:80", "10.1.1.2:80"]);
const one = servers(["10.1.1.1:80"]);

function change(
  removal: GracefulRemoval,
  before: readonly PresentServer[],
  after: typeof both,
  nowMs = 0,
): string[] {
  return differenceTexts(removal.instead(diffServers(after, before), nowMs));
}

function changeFound(
  removal: GracefulRemoval,
  found: readonly PresentServer[],
  after: typeof both,
): string[] {
  return differenceTexts(removal.insteadOfFound(diffServers(after, found), 0));
}

function names(assignments: Iterable<Assignment>): string[] {
  return [...assignments].map(({ realServer: { address, port } }) => formatSocketAddress(address, port));
}

Deno.test("a removed real server of TCP gets no new connections until its last one has ended", () => {
  const removal = new GracefulRemoval(LONGEST_MS);
  assert.deepEqual(change(removal, both, one), ["* 10.96.0.10:80/TCP -> 10.1.1.2:80 weight 0"]);
  assert.deepEqual(names(removal.drained(() => 1, 1000)), []);
  const drained = removal.drained(() => 0, 1000);
  assert.deepEqual(names(drained), ["10.1.1.2:80"]);
  // Until it is told of the removal, which may fail, it asks for it.
  assert.deepEqual(names(removal.drained(() => 0, 1000)), ["10.1.1.2:80"]);
  for (const assignment of drained) removal.done(assignment);
  assert.deepEqual(names(removal), []);
});

Deno.test("connections that do not end keep a removed real server only for so long", () => {
  const removal = new GracefulRemoval(LONGEST_MS);
  change(removal, both, one, 5000);
  assert.deepEqual(names(removal.drained(() => 1, 5000 + LONGEST_MS - 1)), []);
  assert.deepEqual(names(removal.drained(() => 1, 5000 + LONGEST_MS)), ["10.1.1.2:80"]);
});

Deno.test("each real server is asked for its own connections", () => {
  const removal = new GracefulRemoval(LONGEST_MS);
  change(removal, both, servers([]));
  const busy = both[0]?.realServers[1]?.address;
  const drained = removal.drained(({ realServer }) => realServer.address === busy ? 3 : 0, 1000);
  assert.deepEqual(names(drained), ["10.1.1.1:80"]);
});

Deno.test("UDP and SCTP go at once", () => {
  for (const protocol of ["UDP", "SCTP"] as const) {
    const removal = new GracefulRemoval(LONGEST_MS);
    const before = servers(["10.1.1.1:80"], protocol);
    assert.deepEqual(change(removal, before, servers([], protocol)), [
      `- 10.96.0.10:80/${protocol} -> 10.1.1.1:80`,
    ]);
    assert.deepEqual(names(removal), []);
  }
});

Deno.test("with dh, which does not go past real servers without weight, all go at once", () => {
  const removal = new GracefulRemoval(LONGEST_MS);
  const [before, after] = [["10.1.1.1:80", "10.1.1.2:80"], ["10.1.1.1:80"]].map((of) =>
    servers(of, "TCP", "dh")
  );
  assert.deepEqual(change(removal, before ?? [], after ?? []), ["- 10.96.0.10:80/TCP -> 10.1.1.2:80"]);
  assert.deepEqual(names(removal), []);
});

Deno.test("a real server that comes back while it is drained gets its weight back, and is not removed later", () => {
  const removal = new GracefulRemoval(LONGEST_MS);
  change(removal, both, one);
  assert.deepEqual(change(removal, one, both), ["* 10.96.0.10:80/TCP -> 10.1.1.2:80"]);
  assert.deepEqual(names(removal.drained(() => 0, LONGEST_MS)), []);
  // Gone for good meanwhile, it is added as any other.
  change(removal, both, one);
  for (const assignment of removal.drained(() => 0, 1000)) removal.done(assignment);
  assert.deepEqual(change(removal, one, both), ["+ 10.96.0.10:80/TCP -> 10.1.1.2:80"]);
});

Deno.test("with the virtual server its real servers are gone, drained or not", () => {
  const removal = new GracefulRemoval(LONGEST_MS);
  change(removal, both, one);
  assert.deepEqual(change(removal, one, []), ["- 10.96.0.10:80/TCP rr"]);
  assert.deepEqual(names(removal), []);
  assert.deepEqual(change(removal, [], both).filter((text) => text.startsWith("*")), []);
});

Deno.test("real servers without weight that a process before this one left are drained, and their time goes on", () => {
  const removal = new GracefulRemoval(LONGEST_MS);
  const left = both.map((server) => ({
    ...server,
    realServers: server.realServers.map((realServer, index) => ({ ...realServer, weight: 1 - index })),
  }));
  assert.deepEqual(change(removal, left, one, 0), []);
  assert.deepEqual(names(removal), ["10.1.1.2:80"]);
  assert.deepEqual(change(removal, left, one, 50_000), []);
  assert.deepEqual(names(removal.drained(() => 1, LONGEST_MS)), ["10.1.1.2:80"]);
  // Read back, and wanted again.
  assert.deepEqual(changeFound(removal, left, both), ["* 10.96.0.10:80/TCP -> 10.1.1.2:80"]);
  assert.deepEqual(names(removal), []);
});

const resting = servers(["10.1.1.1:80", "10.1.1.2:80 weight 0"]);

Deno.test("a real server that is wanted without weight is not draining", () => {
  const removal = new GracefulRemoval(LONGEST_MS);
  assert.deepEqual(change(removal, both, resting), ["* 10.96.0.10:80/TCP -> 10.1.1.2:80 weight 0"]);
  assert.deepEqual(names(removal), []);
  assert.deepEqual(change(removal, resting, both), ["* 10.96.0.10:80/TCP -> 10.1.1.2:80"]);
});

Deno.test("one that had no weight before it is removed keeps its connections, too", () => {
  const removal = new GracefulRemoval(LONGEST_MS);
  assert.deepEqual(change(removal, resting, one), []);
  assert.deepEqual(names(removal.drained(() => 1, 1000)), []);
  assert.deepEqual(names(removal.drained(() => 0, 1000)), ["10.1.1.2:80"]);
});

Deno.test("a real server that comes back without weight while it is drained is not removed later", () => {
  const removal = new GracefulRemoval(LONGEST_MS);
  change(removal, both, one);
  assert.deepEqual(change(removal, one, resting), ["* 10.96.0.10:80/TCP -> 10.1.1.2:80 weight 0"]);
  assert.deepEqual(names(removal), []);
});

Deno.test("who is wanted when all is read back does not drain, whatever the kernel has", () => {
  for (const [found, wanted] of [[resting, resting], [both, both], [resting, both]] as const) {
    const removal = new GracefulRemoval(LONGEST_MS);
    change(removal, both, one);
    changeFound(removal, found, wanted);
    assert.deepEqual(names(removal), []);
  }
  const removal = new GracefulRemoval(LONGEST_MS);
  change(removal, both, one);
  changeFound(removal, resting, one);
  assert.deepEqual(names(removal), ["10.1.1.2:80"]);
});
