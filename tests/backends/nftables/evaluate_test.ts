import fc from "fast-check";
import assert from "node:assert/strict";
import { addressFromBytes, formatAddress, isLoopback } from "../../../core/net/address.ts";
import { hasSharedList, sharesList } from "../../../backends/nftables/shared_lists.ts";
import type { ServicePortPlan } from "../../../core/plan/plan.ts";
import { address } from "../../core/plan/builders.ts";
import { inForce, objectsOf } from "../../core/plan/in_force.ts";
import { anyRawChange } from "../../oracle/raw_change.ts";
import type { RawPacket } from "../../oracle/raw_objects.ts";
import {
  type Connection,
  type TracedNode,
  tracedNode,
  type TraceOutcome,
} from "../../../core/explain/trace/trace.ts";
import { traceConnection } from "../../../core/explain/trace/tracer.ts";
import { evaluate, type Evaluated } from "../nf_tables/evaluate.ts";
import { contentsOf } from "../nf_tables/table_contents.ts";
import { VirtualTable } from "../nf_tables/virtual_table.ts";
import { CONNECTIONS, refusedSet, UNALLOCATED } from "../../../backends/nf_tables/traffic/counting.ts";
import { addressKey } from "../../../backends/nf_tables/set/keys.ts";
import { addressOf } from "../plans.ts";
import { FakeTable } from "./batches.ts";

/**
 * PROPERTY_RUNS is the number of random clusters, each tested with several packets. PROPERTY_SEED sets the
 * seed.
 */
const runs = Number(Deno.env.get("PROPERTY_RUNS") ?? 300);
const seed = Number(Deno.env.get("PROPERTY_SEED") ?? Date.now() & 0x7fffffff);

Deno.test(`nf_tables does with a packet what the tracer says, after the first programming (PROPERTY_SEED=${seed})`, () => {
  fc.assert(
    fc.property(anyRawChange, ({ after, packets }) => {
      const node = inForce({ ...after, objects: objectsOf(after) });
      checkAll(node, packets, programmed(node, node));
    }),
    { numRuns: runs, seed },
  );
});

Deno.test(`nf_tables does with a packet what the tracer says, after changes (PROPERTY_SEED=${seed})`, () => {
  fc.assert(
    fc.property(anyRawChange, ({ before, after, packets }) => {
      const node = inForce({ ...after, objects: objectsOf(after) });
      checkAll(node, packets, programmed(inForce({ ...before, objects: objectsOf(before) }), node));
    }),
    { numRuns: runs, seed },
  );
});

Deno.test(`addresses that share an endpoint list behave like others, also when they begin or cease to share it (PROPERTY_SEED=${seed})`, () => {
  const anyWideCase = fc.tuple(anyRawChange, fc.boolean(), fc.boolean());
  fc.assert(
    fc.property(anyWideCase, ([{ before, after, packets }, isBefore, isAfter]) => {
      const first = inForce({ ...before, objects: objectsOf(before) });
      const then = inForce({ ...after, objects: objectsOf(after) });
      const node = isAfter ? withManyAddresses(then) : then;
      const comparable = packets.filter((packet) => !hidesNodePort(node, packet));
      checkAll(node, comparable, programmed(isBefore ? withManyAddresses(first) : first, node));
    }),
    { numRuns: runs, seed },
  );
});

/**
 * The one difference (docs/nftables.md): without endpoints, an address that shares a list and is one of the node's
 * hides a node port with the same number.
 */
function hidesNodePort({ plans }: TracedNode, { destination, protocol, port }: RawPacket): boolean {
  const to = address(destination);
  return [...plans.values()].some((plan) =>
    plan.protocol === protocol && hasSharedList(plan) && ["reject", "drop"].includes(plan.external.verdict) &&
    plan.frontends.some((frontend) =>
      frontend.kind !== "NodePort" && sharesList(frontend) && frontend.address === to &&
      frontend.port === port
    )
  );
}

/** Adds so many external IPs to each service port that all its addresses share an endpoint list. */
function withManyAddresses(node: TracedNode): TracedNode {
  let service = 0;
  const plans = [...node.plans.values()].map((plan): ServicePortPlan => {
    const port = plan.frontends.find(({ kind }) => kind !== "NodePort")?.port;
    if (port === undefined) return plan;
    service++;
    const added = Array.from({ length: 9 }, (_, n) => ({
      kind: "ExternalIP" as const,
      address: addressOf(plan.family === "IPv4" ? `198.19.${service}.${n}` : `2001:db8:19:${service}::${n}`),
      port,
    }));
    return { ...plan, frontends: [...plan.frontends, ...added] };
  });
  return tracedNode({ ...node, plans: new Map(plans.map((plan) => [plan.key, plan])) }, node.addresses);
}

/**
 * The tables of both families, filled with the plans of one node and changed to those of another. They are the same as
 * if they had been filled with the latter.
 */
function programmed(first: TracedNode, then: TracedNode): ReadonlyMap<number, VirtualTable> {
  return new Map(then.settings.map((settings) => {
    const of = (node: TracedNode) =>
      [...node.plans.values()].filter(({ family }) => family === settings.family);
    const fake = new FakeTable(of(first), settings);
    const table = new VirtualTable(fake.created);
    if (first !== then) {
      const keys = new Set([...of(first), ...of(then)].map(({ key }) => key));
      const changes = [...keys].map((key) => [first.plans.get(key), then.plans.get(key)] as const);
      table.apply(fake.apply(...changes));
      const fresh = new VirtualTable(new FakeTable(of(then), settings).created);
      assert.deepEqual(contentsOf(table), contentsOf(fresh));
    }
    return [settings.family === "IPv4" ? 4 : 16, table];
  }));
}

function checkAll(
  node: TracedNode,
  packets: readonly RawPacket[],
  tables: ReadonlyMap<number, VirtualTable>,
): void {
  for (const packet of packets) {
    const connection = {
      ...packet,
      source: address(packet.source),
      destination: address(packet.destination),
    };
    const table = tables.get(connection.destination.length);
    if (table === undefined) continue;
    const { outcome } = traceConnection(node, connection);
    assert.equal(evaluated(table, node, connection), traced(outcome), JSON.stringify(packet));
    if (outcome.verdict === "balanced" && outcome.affinitySeconds > 0) checkAffinity(table, node, connection);
  }
}

/** Checks that a client goes to the same endpoint again, for every random number. */
function checkAffinity(table: VirtualTable, node: TracedNode, connection: Connection): void {
  const isLocal = isLocalTo(node);
  const first = evaluate(table, connection, isLocal, 1);
  assert.equal(first.learned.length, 1);
  const element = { verdict: undefined, chain: undefined, data: "", end: "", userdata: "" };
  for (const { set, key } of first.learned) table.sets.get(set)?.elements.set(key, element);
  for (const draw of [0, 1, 2]) {
    assert.deepEqual(evaluate(table, connection, isLocal, draw).dnat, first.dnat);
  }
  for (const { set, key } of first.learned) table.sets.get(set)?.elements.delete(key);
}

/** All possible outcomes: one per random number, which covers each endpoint once. */
function evaluated(table: VirtualTable, node: TracedNode, connection: Connection): string {
  const results: string[] = [];
  let modulus = 1;
  for (let draw = 0; draw < modulus; draw++) {
    const result = evaluate(table, connection, isLocalTo(node), draw);
    modulus = Math.max(1, result.modulus);
    checkCounted(result, connection);
    results.push(describe(result));
  }
  return results.sort().join(", ");
}

/** Checks that a connection that is sent to an endpoint is counted once for its frontend, and a refused one by reason. */
function checkCounted(
  { dnat, verdict, counted }: Evaluated,
  { destination, protocol, port }: Connection,
): void {
  const [first, ...others] = counted;
  if (dnat !== undefined) {
    assert.deepEqual(first, { set: CONNECTIONS, key: addressKey(destination, protocol, port) });
    // The endpoint may have the address of a frontend that refuses connections.
    assert.equal(others.length, verdict === "accepted" ? 0 : 1);
  } else if (verdict === "accepted") assert.deepEqual(counted, []);
  else if (first === undefined) {
    assert.equal(verdict, "rejected", "only undefined ports of ClusterIPs are not counted");
  } else {
    assert.deepEqual(others, []);
    if (first.set === UNALLOCATED) assert.equal(first.key, "");
    else assert.equal(first.key, addressKey(destination, protocol, port));
    assert.equal(verdict, first.set === refusedSet("no-endpoints") ? "rejected" : "dropped");
  }
}

function describe({ verdict, dnat, isMasqueraded }: Evaluated): string {
  if (dnat === undefined) return verdict;
  const endpoint = formatAddress(
    addressFromBytes(Uint8Array.from(dnat.address, (byte) => byte.charCodeAt(0))),
  );
  // A packet that is rejected or dropped later is not masqueraded.
  return verdict === "accepted"
    ? `${endpoint} ${dnat.port} sees ${isMasqueraded ? "node" : "client"}`
    : `${endpoint} ${dnat.port} ${verdict}`;
}

function traced(outcome: TraceOutcome): string {
  switch (outcome.verdict) {
    case "passed":
      return "accepted";
    case "rejected":
    case "dropped":
      return outcome.verdict;
    case "balanced":
      return outcome.choices.map(({ endpoint, source, stopped }) =>
        `${formatAddress(endpoint.address)} ${endpoint.port} ${stopped ?? `sees ${source}`}`
      ).sort().join(", ");
  }
}

function isLocalTo({ addresses }: TracedNode): (bytes: string) => boolean {
  return (bytes) => {
    const one = addressFromBytes(Uint8Array.from(bytes, (byte) => byte.charCodeAt(0)));
    return isLoopback(one) || addresses.includes(one);
  };
}
