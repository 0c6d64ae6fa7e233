import assert from "node:assert/strict";
import fc from "fast-check";
import { type Client, sampleClients } from "../../../../core/explain/clients.ts";
import { destinationOf } from "../../../../core/explain/service_port.ts";
import type { TracedNode, TraceOutcome } from "../../../../core/explain/trace/trace.ts";
import { traceConnection } from "../../../../core/explain/trace/tracer.ts";
import { parseCidr } from "../../../../core/net/address.ts";
import { type ClientPath, clientPaths } from "../../../../core/observe/status/client_paths.ts";
import type { Frontend, ServicePortPlan } from "../../../../core/plan/plan.ts";
import { anyRawCluster } from "../../../oracle/raw_cluster.ts";
import { inForce, objectsOf } from "../../plan/in_force.ts";

const runs = Number(Deno.env.get("PROPERTY_RUNS") ?? 300);
const seed = Number(Deno.env.get("PROPERTY_SEED") ?? Date.now() & 0x7fffffff);

/** Ranges that have the pods of node "here" in random clusters. */
const podCidrs = ["10.244.1.0/24", "fd00:244:1::/64"].map(parseCidr).filter((cidr) => cidr !== undefined);

/** The clients of a path, in the words of explain. */
const CLIENTS: Readonly<Record<ClientPath["clients"], readonly Client["kind"][]>> = {
  "pods and the node": ["pods of this node", "this node"],
  "this node and its pods": ["pods of this node", "this node"],
  "outside the cluster": ["clients outside"],
  "everyone": ["pods of this node", "this node", "clients outside"],
};

Deno.test(`the picture of a service agrees with the tracer on random clusters (PROPERTY_SEED=${seed})`, () => {
  const seen = new Map<string, number>();
  fc.assert(
    fc.property(anyRawCluster, (cluster) => {
      const node = inForce({ ...cluster, objects: objectsOf(cluster) });
      for (const plan of node.plans.values()) {
        for (const path of clientPaths(plan)) {
          for (const { client, frontend, outcome } of connections(node, plan, path)) {
            // Another frontend may have the same address with precedence.
            const target = outcome.verdict === "passed" ? undefined : outcome.target;
            if (outcome.verdict === "passed" || target?.plan.key !== plan.key) continue;
            if (target.frontend.kind !== frontend.kind) continue;
            const about = `${client.kind} to ${frontend.kind} of ${plan.key}`;
            const list = {
              cluster: plan.clusterEndpoints,
              local: plan.localEndpoints,
              reject: [],
              drop: [],
            }[path.result];
            assert.equal(resultOf(outcome), list.length > 0 ? "balanced" : path.result, about);
            assert.equal(path.endpoints, list.length, about);
            const choices = outcome.verdict === "balanced"
              ? outcome.choices.map(({ endpoint }) => endpoint)
              : [];
            assert.deepEqual(choices, list, about);
            seen.set(path.result, (seen.get(path.result) ?? 0) + 1);
          }
        }
      }
    }),
    { numRuns: runs, seed },
  );
  for (const result of ["cluster", "local", "reject", "drop"]) {
    assert.ok((seen.get(result) ?? 0) > runs / 20, `${result}: ${seen.get(result)}`);
  }
});

/** A connection of each kind of client to each frontend of the path. */
function* connections(
  traced: TracedNode,
  plan: ServicePortPlan,
  path: ClientPath,
): Generator<{ client: Client; frontend: Frontend; outcome: TraceOutcome }> {
  const settings = traced.settings.find(({ family }) => family === plan.family);
  for (const frontend of plan.frontends.filter(({ kind }) => path.frontends.includes(kind))) {
    // Source ranges are shown beside the picture.
    if (frontend.kind === "LoadBalancerIP" && plan.sourceRanges !== undefined) continue;
    const destination = destinationOf({ traced }, plan, frontend);
    if (destination === undefined) continue;
    for (const client of sampleClients({ traced, podCidrs }, plan.family, plan)) {
      if (!CLIENTS[path.clients].includes(client.kind)) continue;
      // Without a detector, pods are clients like all others.
      if (client.kind === "pods of this node" && settings?.localTraffic.mode === "none") continue;
      const { source, incoming } = client;
      const { protocol } = plan;
      const { outcome } = traceConnection(traced, {
        source,
        incoming,
        destination,
        protocol,
        port: frontend.port,
      });
      yield { client, frontend, outcome };
    }
  }
}

/** Result of the connection, in the words of a path. */
function resultOf(
  outcome: Exclude<TraceOutcome, { readonly verdict: "passed" }>,
): "balanced" | "reject" | "drop" {
  if (outcome.verdict === "balanced") return "balanced";
  return outcome.verdict === "rejected" ? "reject" : "drop";
}
