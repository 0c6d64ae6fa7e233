import assert from "node:assert/strict";
import { FAMILIES } from "../../../core/net/protocol.ts";
import { planOf, type PlanText } from "../../backends/plans.ts";
import { isAnswered } from "../../lab/agent.ts";
import { Lab } from "../../lab/lab.ts";
import { machines, servedPorts } from "../../lab/topology.ts";
import { startEbpf } from "../support/ebpf_process.ts";
import { labSettings } from "../support/lab_settings.ts";
import { countedTraffic } from "./support/counted_traffic.ts";

// The configured cgroup may not be the root: containers of another or a nested runtime are then outside it.
// Their packets are balanced when they arrive at the node, with the same result for the containers.
Deno.test("a pod outside the cgroup of the programs is balanced by its packets", async (t) => {
  await using lab = await Lab.create(true);
  const mounts = lab.ebpfMounts;
  const [inside, outside] = [lab.agent("pod-a"), lab.agent("pod-c")];
  await outside.join(parentOf(mounts.cgroup));
  await using backend = startEbpf({ name: lab.namespace("node") }, mounts);
  const settings = labSettings({ trafficMetrics: "full" });

  for (const protocol of ["TCP", "UDP"] as const) {
    for (const family of FAMILIES) {
      const clusterIP = family === "IPv4" ? "10.96.0.10" : "fd00:10:96::10";
      const bracketed = (address: string) => family === "IPv4" ? address : `[${address}]`;
      const program = async (text: PlanText) => {
        const plan = planOf({
          protocol,
          family,
          clusterIP: `${bracketed(clusterIP)}:80`,
          nodePort: 30080,
          ...text,
        });
        await backend.reconcile([plan], settings);
        return plan.key;
      };
      const endpoints = (["pod-b", "pod-d"] as const).map((pod) =>
        `${bracketed(machines[pod].addresses[family])}:${servedPorts[0]}`
      );

      await t.step(
        `only its connections show packets to the programs (${protocol}, ${family})`,
        async () => {
          const key = await program({ endpoints });
          const counted = () => countedTraffic(backend, key);
          const connectsTo = async (to: string, port: number) => {
            const changes = [];
            for (const client of [inside, outside]) {
              const before = await counted();
              const outcomes = await client.probe({ protocol, to, port }, { times: 10 });
              for (const outcome of outcomes) assert(isAnswered(outcome), JSON.stringify(outcome));
              const after = await counted();
              changes.push({
                connections: after.connections - before.connections,
                hasPackets: after.packets > before.packets,
              });
            }
            assert.deepEqual(changes, [
              { connections: 10, hasPackets: false },
              { connections: 10, hasPackets: true },
            ]);
          };
          await connectsTo(clusterIP, 80);
          await connectsTo(machines.node.addresses[family], 30080);
        },
      );

      await t.step(
        `it keeps its address when it connects to a ClusterIP (${protocol}, ${family})`,
        async () => {
          await program({ endpoints });
          for (const outcome of await outside.probe({ protocol, to: clusterIP, port: 80 }, { times: 10 })) {
            assert(isAnswered(outcome), JSON.stringify(outcome));
            assert.equal(outcome.source, machines["pod-c"].addresses[family]);
          }
        },
      );

      await t.step(`without endpoints it is rejected immediately (${protocol}, ${family})`, async () => {
        await program({ endpoints: [], internal: "reject", external: "reject" });
        const [outcome] = await outside.probe({ protocol, to: clusterIP, port: 80 });
        assert(outcome !== undefined && !isAnswered(outcome));
        assert.equal(outcome.outcome, "refused");
      });
    }
  }
});

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/"));
}
