import fc from "fast-check";
import assert from "node:assert/strict";
import { TableBatch } from "../../../../backends/nf_tables/batch.ts";
import { type TableFamily, tableFamilyOf } from "../../../../backends/nf_tables/families.ts";
import { writeElements, writeTable } from "../../../../backends/nf_tables/fixed/table.ts";
import { CONNECTIONS } from "../../../../backends/nf_tables/traffic/counting.ts";
import { addressKey } from "../../../../backends/nf_tables/set/keys.ts";
import { withPreferredPorts } from "../../../../backends/userspace/probe.ts";
import { REDIRECTION_TABLE, TABLE } from "../../../../backends/userspace/redirection/chains.ts";
import { setsOf } from "../../../../backends/userspace/redirection/sets.ts";
import {
  PREFERRED_PORTS,
  type RedirectionSettings,
  SIDES,
} from "../../../../backends/userspace/redirection/target.ts";
import { updatesOf, wholeTable } from "../../../../backends/userspace/redirection/update.ts";
import { relayedServiceOf } from "../../../../backends/userspace/relayed_service.ts";
import { packEndpoints } from "../../../../backends/userspace/relay/endpoints/packed_endpoints.ts";
import { type Connection, type TracedNode, type TraceOutcome } from "../../../../core/explain/trace/trace.ts";
import { traceConnection } from "../../../../core/explain/trace/tracer.ts";
import { addressFromBytes, isLoopback } from "../../../../core/net/address.ts";
import type { NodeSettings } from "../../../../core/plan/plan.ts";
import { MessageWriter } from "../../../../ffi/netlink/writer.ts";
import { address } from "../../../core/plan/builders.ts";
import { inForce, objectsOf } from "../../../core/plan/in_force.ts";
import { anyRawChange } from "../../../oracle/raw_change.ts";
import type { RawPacket } from "../../../oracle/raw_objects.ts";
import { evaluate } from "../../nf_tables/evaluate.ts";
import { contentsOf } from "../../nf_tables/table_contents.ts";
import { VirtualTable } from "../../nf_tables/virtual_table.ts";

/** PROPERTY_RUNS and PROPERTY_SEED work as in tests/backends/nftables/evaluate_test.ts. */
const runs = Number(Deno.env.get("PROPERTY_RUNS") ?? 300);
const seed = Number(Deno.env.get("PROPERTY_SEED") ?? Date.now() & 0x7fffffff);

Deno.test(`a packet goes to the listener whose endpoints are those that the tracer says, after the first programming (PROPERTY_SEED=${seed})`, () => {
  fc.assert(
    fc.property(anyRawChange, ({ after, packets }) => {
      const node = inForce({ ...after, objects: objectsOf(after) });
      checkAll(node, packets, programmed(node, node));
    }),
    { numRuns: runs, seed },
  );
});

Deno.test(`a packet goes to the listener whose endpoints are those that the tracer says, after changes (PROPERTY_SEED=${seed})`, () => {
  fc.assert(
    fc.property(anyRawChange, ({ before, after, packets }) => {
      const node = inForce({ ...after, objects: objectsOf(after) });
      checkAll(node, packets, programmed(inForce({ ...before, objects: objectsOf(before) }), node));
    }),
    { numRuns: runs, seed },
  );
});

Deno.test("connections of the relay to endpoints are neither redirected nor refused", () => {
  fc.assert(
    fc.property(anyRawChange, ({ after, packets }) => {
      const node = inForce({ ...after, objects: objectsOf(after) });
      for (const settings of node.settings) {
        const table = programmed(node, node).get(settings.family)?.table;
        for (const packet of packets.filter(({ incoming }) => incoming === undefined)) {
          const connection = connectionOf(packet);
          if (
            table === undefined || connection.destination.length !== (settings.family === "IPv4" ? 4 : 16)
          ) continue;
          const { verdict, dnat } = evaluate(table, connection, isLocalTo(node), 0, settings.masqueradeMark);
          assert.deepEqual([verdict, dnat], ["accepted", undefined]);
        }
      }
    }),
    { numRuns: 100, seed },
  );
});

Deno.test("nobody reaches a listener without redirection", () => {
  fc.assert(
    fc.property(anyRawChange, ({ after, packets }) => {
      const node = inForce({ ...after, objects: objectsOf(after) });
      for (const [, { table, settings }] of programmed(node, node)) {
        for (const { incoming, source } of packets) {
          if (address(source).length !== settings.target.length) continue;
          for (const side of SIDES) {
            for (const protocol of ["TCP", "UDP"] as const) {
              const port = PREFERRED_PORTS[side][protocol];
              const direct = {
                source: address(source),
                incoming,
                destination: settings.target,
                protocol,
                port,
              };
              assert.equal(evaluate(table, direct, isLocalTo(node), 0).verdict, "rejected");
            }
          }
        }
      }
    }),
    { numRuns: 20, seed },
  );
});

interface Programmed {
  readonly table: VirtualTable;
  readonly settings: RedirectionSettings;
}

/**
 * The tables of both families, filled with the plans of one node and changed to those of another. They are the same as
 * if they had been filled with the latter.
 */
function programmed(first: TracedNode, then: TracedNode): ReadonlyMap<NodeSettings["family"], Programmed> {
  return new Map(then.settings.map((one) => {
    const family = tableFamilyOf(one.family);
    const settings = withPreferredPorts({ ...one, interfaceAddresses: ownAddresses(then, one) });
    const { state, table } = filled(family, settings, first);
    if (first !== then) {
      const keys = new Set([...first.plans.keys(), ...then.plans.keys()]);
      const changes = [...keys].map((key) => ({ key, old: first.plans.get(key), new: then.plans.get(key) }));
      const specs = setsOf(family, settings);
      for (const { elements } of updatesOf([state], changes)) {
        table.apply(batchOf((batch) => {
          writeElements(batch, family, "delete", specs, elements.removed);
          writeElements(batch, family, "add", specs, elements.added);
        }));
      }
      assert.deepEqual(contentsOf(table), contentsOf(filled(family, settings, then).table));
    }
    return [one.family, { table, settings }];
  }));
}

/** A table with the plans of a node, from nothing. */
function filled(family: TableFamily, settings: RedirectionSettings, { plans }: TracedNode) {
  const { state, contents } = wholeTable(family, settings, plans.values());
  const table = { family, settings, elements: contents };
  return { state, table: new VirtualTable(batchOf((batch) => writeTable(REDIRECTION_TABLE, batch, table))) };
}

function batchOf(write: (batch: TableBatch) => void): Uint8Array {
  const batch = new TableBatch(TABLE, new MessageWriter(), 1);
  write(batch);
  return batch.end().slice();
}

/** An address of its own for the node, that is no destination of any packet. */
function ownAddresses(_node: TracedNode, { family }: NodeSettings): NodeSettings["interfaceAddresses"] {
  return [address(family === "IPv4" ? "203.0.113.77" : "2001:db8:77::1")];
}

function checkAll(
  node: TracedNode,
  packets: readonly RawPacket[],
  tables: ReadonlyMap<NodeSettings["family"], Programmed>,
): void {
  for (const packet of packets) {
    const connection = connectionOf(packet);
    const found = tables.get(connection.destination.length === 4 ? "IPv4" : "IPv6");
    // The mode rejects what it does not relay.
    if (found === undefined || packet.protocol === "SCTP") continue;
    const { table, settings } = found;
    const { outcome } = traceConnection(node, connection);
    const { verdict, dnat, isMasqueraded, counted } = evaluate(table, connection, isLocalTo(node), 0);
    const because = JSON.stringify(packet);
    assert.equal(isMasqueraded, false, because);
    if (outcome.verdict !== "balanced") {
      assert.deepEqual([verdict, dnat], [
        outcome.verdict === "passed" ? "accepted" : outcome.verdict,
        undefined,
      ], because);
      continue;
    }
    assert.equal(verdict, "accepted", because);
    assert.equal(dnat?.address, settings.target, because);
    const side = SIDES.find((one) =>
      PREFERRED_PORTS[one][packet.protocol === "UDP" ? "UDP" : "TCP"] === dnat?.port
    );
    assert.ok(side !== undefined, because);
    assert.deepEqual(
      balancedOver(outcome, side),
      packEndpoints(outcome.choices.map(({ endpoint }) => endpoint)),
      because,
    );
    const { destination, protocol, port } = connection;
    assert.deepEqual(counted, [{ set: CONNECTIONS, key: addressKey(destination, protocol, port) }], because);
  }
}

/** The endpoints that the relay picks from for connections of a side. */
function balancedOver(
  { target: { plan, frontend } }: TraceOutcome & { readonly verdict: "balanced" },
  side: "inside" | "outside",
): string | undefined {
  const service = relayedServiceOf(plan);
  const relayed = service?.frontends.find(({ kind, address: one, port }) =>
    kind === frontend.kind && port === frontend.port &&
    (frontend.kind === "NodePort" || one === frontend.address)
  );
  const list = relayed?.[side];
  return list === undefined || list === "none" ? undefined : service?.[list];
}

function connectionOf(packet: RawPacket): Connection {
  return { ...packet, source: address(packet.source), destination: address(packet.destination) };
}

function isLocalTo({ addresses }: TracedNode): (bytes: string) => boolean {
  return (bytes) => {
    const one = addressFromBytes(Uint8Array.from(bytes, (byte) => byte.charCodeAt(0)));
    return isLoopback(one) || addresses.includes(one) ||
      [address("203.0.113.77"), address("2001:db8:77::1")].includes(one);
  };
}
