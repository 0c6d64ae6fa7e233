import assert from "node:assert/strict";
import fc from "fast-check";
import { formatAddress } from "../../../core/net/address.ts";
import { printedName } from "../../../core/plan/plan.ts";
import type { TracedNode, TraceOutcome } from "../../../core/explain/trace/trace.ts";
import { traceConnection } from "../../../core/explain/trace/tracer.ts";
import { address } from "../plan/builders.ts";
import { inForce, objectsOf } from "../plan/in_force.ts";
import { anyRawCluster } from "../../oracle/raw_cluster.ts";
import type { RawPacket } from "../../oracle/raw_objects.ts";
import { anyRawPacket } from "../../oracle/raw_packet.ts";
import { referenceVerdict } from "../../oracle/reference_model.ts";

const PACKETS = 10;
/**
 * Number of random clusters; each gets several packets. PROPERTY_RUNS=10000 runs the full number.
 * PROPERTY_SEED repeats a run.
 */
const runs = Number(Deno.env.get("PROPERTY_RUNS") ?? 1000);
const seed = Number(Deno.env.get("PROPERTY_SEED") ?? Date.now() & 0x7fffffff);

Deno.test(`the tracer agrees with the tables of docs/behaviour.md on random clusters (PROPERTY_SEED=${seed})`, () => {
  const seen = new Map<string, number>();
  fc.assert(
    fc.property(
      anyRawCluster.chain((cluster) =>
        fc.tuple(
          fc.constant(cluster),
          fc.array(anyRawPacket(cluster), { minLength: PACKETS, maxLength: PACKETS }),
        )
      ),
      ([cluster, packets]) => {
        const node = inForce({ ...cluster, objects: objectsOf(cluster) });
        for (const packet of packets) {
          const actual = tracedVerdict(node, packet);
          const kind = actual.split(" ")[0] ?? "";
          seen.set(kind, (seen.get(kind) ?? 0) + 1);
          assert.equal(actual, referenceVerdict(cluster, packet), JSON.stringify(packet));
        }
      },
    ),
    { numRuns: runs, seed },
  );
  // A generator that produces only trivial packets would agree with everything.
  for (const kind of ["passed", "rejected", "dropped", "balanced"]) {
    assert.ok(
      (seen.get(kind) ?? 0) > runs / 4,
      `${kind}: ${seen.get(kind)} of ${runs * PACKETS} connections`,
    );
  }
});

/** The verdict in the format of the reference model. */
function tracedVerdict(node: TracedNode, packet: RawPacket): string {
  const { outcome } = traceConnection(node, {
    ...packet,
    source: address(packet.source),
    destination: address(packet.destination),
  });
  const name = nameOf(outcome);
  if (outcome.verdict !== "balanced") {
    return outcome.verdict === "passed" ? "passed" : `${outcome.verdict} ${name}`;
  }
  const seen = outcome.choices.map(({ endpoint, source, stopped }) =>
    `${formatAddress(endpoint.address)} ${endpoint.port} sees ${source}${
      stopped === undefined ? "" : ` ${stopped}`
    }`
  );
  return `balanced ${name} affinity ${outcome.affinitySeconds}: ${seen.sort().join(", ")}`;
}

function nameOf(outcome: TraceOutcome): string {
  const plan = outcome.verdict === "passed" ? undefined : outcome.target?.plan;
  return plan === undefined ? "nobody" : printedName(plan);
}
