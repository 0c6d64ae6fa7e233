import assert from "node:assert/strict";
import type { Agent } from "../../lab/agent.ts";
import { isAnswered, type Target } from "../../lab/agent.ts";
import { Lab } from "../../lab/lab.ts";
import { machines, servedPorts } from "../../lab/topology.ts";
import { FAMILIES } from "../../../core/net/protocol.ts";
import { planOf } from "../../backends/ebpf/plans.ts";
import { type PlanText } from "../../backends/plans.ts";
import { startEbpf } from "../support/ebpf_process.ts";
import { labSettings } from "../support/lab_settings.ts";
import { PrivateMounts } from "./support/private_mounts.ts";

const port = servedPorts[0]!;
const BULK = new URL("./support/bulk.py", import.meta.url).pathname;
const COMPLETE_CHECKSUMS = new URL("./support/complete_checksums.py", import.meta.url).pathname;
const BULK_BYTES = `${400 * 256 * 1024}`;

for (const offloads of ["pass through the node", "end at the node"] as const) {
  Deno.test(`packets of real sockets, checksum offloads ${offloads}`, async (t) => {
    await using mounts = await PrivateMounts.make();
    await using lab = await Lab.create();
    // veth devices complete no checksums, so offloaded ones would stay incomplete on the way.
    if (offloads === "end at the node") {
      const { stderr } = await lab.run("node", [
        "python3",
        COMPLETE_CHECKSUMS,
        "eth0",
        "veth-a",
        "veth-b",
        "pods-c",
      ]);
      assert.equal(stderr, "");
    }
    // The cgroup has no processes, so every socket is balanced by its packets.
    await using backend = startEbpf({ name: lab.namespace("node") }, mounts);

    for (const protocol of ["TCP", "UDP"] as const) {
      for (const family of FAMILIES) {
        const node = machines.node.addresses[family];
        const at = (machine: "pod-a" | "pod-b" | "pod-c" | "pod-d") => {
          const address = machines[machine].addresses[family];
          const here = machines[machine].node === "here" ? "@here" : "";
          return `${family === "IPv4" ? address : `[${address}]`}:${port}${here}`;
        };
        const nodePort = { to: node, port: 30000 };
        const clusterIP = family === "IPv4" ? "10.96.0.10:80" : "[fd00:96::10]:80";
        const program = (text: PlanText) =>
          backend.reconcile(
            [planOf({ protocol, family, clusterIP, nodePort: nodePort.port, ...text })],
            labSettings(),
          );
        const answersTo = async (
          client: Agent,
          target: Omit<Target, "protocol">,
          times = 20,
          from: { from?: string } = {},
        ) => {
          const outcomes = await client.probe({ protocol, ...target }, { times, ...from });
          for (const outcome of outcomes) assert(isAnswered(outcome), JSON.stringify({ target, outcome }));
          return outcomes.filter(isAnswered);
        };
        const service = { to: clusterIP.replace(/^\[|\]?:80$/g, ""), port: 80 };
        const test = (name: string, body: () => Promise<void>) =>
          t.step(`${name} (${protocol}, ${family})`, async () => {
            // A new port, because a UDP flow of the previous step would keep its endpoint.
            nodePort.port++;
            await body();
          }).then(() => {});

        await test("a NodePort reaches pods on this node and on another one, masqueraded", async () => {
          await program({ endpoints: [at("pod-a"), at("pod-c"), at("pod-d")] });
          const answers = await answersTo(lab.agent("outside"), nodePort, 60);
          assert.deepEqual([...new Set(answers.map(({ pod }) => pod))].toSorted(), [
            "pod-a",
            "pod-c",
            "pod-d",
          ]);
        });

        await test("external policy Local keeps the client's address", async () => {
          await program({ external: "local", endpoints: [at("pod-a"), at("pod-d")] });
          const client = machines.outside.addresses[family];
          for (
            const { pod, source } of await answersTo(lab.agent("outside"), nodePort, 20, { from: client })
          ) {
            assert.equal(pod, "pod-a");
            assert.equal(source, client);
          }
        });

        await test("a pod keeps its address to a ClusterIP, and reaches itself", async () => {
          await program({ endpoints: [at("pod-d")] });
          for (const { source } of await answersTo(lab.agent("pod-a"), service)) {
            assert.equal(source, machines["pod-a"].addresses[family]);
          }
          for (const pod of ["pod-a", "pod-c"] as const) {
            await program({ endpoints: [at(pod)] });
            await answersTo(lab.agent(pod), service);
          }
        });

        await test("an endpoint on the node answers from the service's address", async () => {
          await program({ endpoints: [`${family === "IPv4" ? node : `[${node}]`}:${port}@here`] });
          for (const client of ["outside", "pod-a", "pod-c"] as const) {
            for (const { pod } of await answersTo(lab.agent(client), nodePort)) assert.equal(pod, "node");
          }
        });

        if (protocol === "TCP") {
          await test("a hundred megabytes arrive unchanged in both directions at once", async () => {
            const address = machines["pod-c"].addresses[family];
            await program({ endpoints: [`${family === "IPv4" ? address : `[${address}]`}:9000@here`] });
            const server = lab.spawn("pod-c", ["python3", BULK, "serve", address, "9000", BULK_BYTES], {
              stdout: "piped",
            });
            const served = new Response(server.stdout).text();
            await new Promise((resolve) => setTimeout(resolve, 500));
            const { stdout, stderr } = await lab.run(
              "outside",
              ["python3", BULK, "connect", nodePort.to, `${nodePort.port}`, BULK_BYTES],
            );
            assert.equal(stderr, "");
            assert(stdout.startsWith(`${BULK_BYTES} `), stdout);
            assert.equal(await served, `ready\n${stdout}`);
            await server.status;
          });
        }

        await test("without endpoints a connection is rejected immediately", async () => {
          await program({ endpoints: [], internal: "reject", external: "reject" });
          for (const client of ["outside", "pod-a"] as const) {
            const [outcome] = await lab.agent(client).probe({ protocol, ...nodePort });
            assert(outcome !== undefined && !isAnswered(outcome));
            assert.equal(outcome.outcome, "refused");
          }
        });
      }
    }
  });
}
