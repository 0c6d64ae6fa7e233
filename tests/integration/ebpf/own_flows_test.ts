import assert from "node:assert/strict";
import { FAMILIES, type Family } from "../../../core/net/protocol.ts";
import { planOf } from "../../backends/plans.ts";
import { isAnswered, type Outcome } from "../../lab/agent.ts";
import { Lab } from "../../lab/lab.ts";
import { machines, podCidrs, servedPorts } from "../../lab/topology.ts";
import { startEbpf } from "../support/ebpf_process.ts";
import { labSettings } from "../support/lab_settings.ts";
import { PrivateMounts } from "./support/private_mounts.ts";

const FIRST_NODE_PORT = 30_000;
const LAST_NODE_PORT = 31_999;
const DNS = 53;
const NTP = 123;
const port = servedPorts[0]!;
const node = machines.node.addresses;
const outside = machines.outside.addresses;

Deno.test("answers to what the node and its pods began do not reach a service", async (t) => {
  await using mounts = await PrivateMounts.make();
  await using lab = await Lab.create();
  // The cgroup has no processes, so every socket is balanced by its packets.
  const capacity = { frontends: 1 << 14, endpoints: 1 << 14, connections: 1 << 14, clients: 1024 };
  await using backend = startEbpf({ name: lab.namespace("node") }, mounts, { capacity });
  await backend.reconcile(FAMILIES.flatMap(servicesOf), labSettings());

  const stepsWith = async (situation: string) => {
    for (const family of FAMILIES) {
      await t.step(`the node connects from ports that are node ports, ${situation} (${family})`, async () => {
        for (const protocol of ["TCP", "UDP"] as const) {
          const outcomes: Outcome[] = [];
          for (let fromPort = FIRST_NODE_PORT; fromPort < FIRST_NODE_PORT + 40; fromPort++) {
            const target = { protocol, to: outside[family], port };
            outcomes.push(...await lab.agent("node").probe(target, { from: node[family], fromPort }));
          }
          mustBeAnsweredBy("outside", outcomes);
        }
      });
      await t.step(`servers of the node get answers to their queries, ${situation} (${family})`, async () => {
        for (const from of [DNS, NTP]) {
          const { stdout, stderr } = await lab.run("node", [
            "python3",
            QUERY,
            node[family],
            `${from}`,
            outside[family],
            `${port}`,
          ]);
          assert.equal(stdout, `outside ${port} ${node[family]} ${from}\n`, stderr);
        }
      });
    }
  };
  await stepsWith("without netfilter");

  const family = "IPv4";
  const range = `${FIRST_NODE_PORT}-${LAST_NODE_PORT}`;
  const masquerade = [
    "add table ip cni",
    "add chain ip cni out { type nat hook postrouting priority srcnat; }",
    ...["tcp", "udp"].map((protocol) =>
      `add rule ip cni out ip saddr ${podCidrs.here[family]} oifname eth0 meta l4proto ${protocol} ` +
      `masquerade to :${range} fully-random`
    ),
  ];
  const { stderr } = await lab.run("node", ["nft", masquerade.join("; ")]);
  assert.equal(stderr, "");
  await stepsWith("with netfilter");

  await t.step("masqueraded pods connect from node ports, which netfilter chooses at random", async () => {
    for (const protocol of ["TCP", "UDP"] as const) {
      const target = { protocol, to: outside[family], port };
      mustBeAnsweredBy("outside", await lab.agent("pod-c").probe(target, { times: 300 }));
    }
  });

  await t.step("the node connects from the port of a connection through a service that is over", async () => {
    const client = lab.agent("outside");
    const nodePort = { protocol: "TCP", to: node[family], port: FIRST_NODE_PORT } as const;
    const [through] = await client.probe(nodePort, { keep: true });
    assert(through !== undefined && isAnswered(through), JSON.stringify(through));
    await client.close([through.connection!]);
    const direct = { protocol: "TCP", to: machines["pod-c"].addresses[family], port } as const;
    const from = { from: through.source, fromPort: through.sourcePort };
    mustBeAnsweredBy("pod-c", await lab.agent("node").probe(direct, from));
  });

  await t.step("services answer meanwhile", async () => {
    for (const protocol of ["TCP", "UDP"] as const) {
      const target = { protocol, to: node[family], port: LAST_NODE_PORT };
      mustBeAnsweredBy("pod-c", await lab.agent("outside").probe(target, { times: 20 }));
    }
  });
});

const QUERY = new URL("./support/query.py", import.meta.url).pathname;

/** Services for all node ports, and for ports of servers at the node's address, all with the endpoint pod-c. */
function servicesOf(family: Family) {
  const at = (address: string, number: number) =>
    family === "IPv4" ? `${address}:${number}` : `[${address}]:${number}`;
  const endpoints = [`${at(machines["pod-c"].addresses[family], port)}@here`];
  const plans = [];
  for (let nodePort = FIRST_NODE_PORT; nodePort <= LAST_NODE_PORT; nodePort++) {
    for (const protocol of ["TCP", "UDP"] as const) {
      plans.push(planOf({ name: `web-${nodePort}`, family, protocol, nodePort, endpoints }));
    }
  }
  for (const number of [DNS, NTP]) {
    const externalIPs = [at(node[family], number)];
    plans.push(planOf({ name: `server-${number}`, family, protocol: "UDP", externalIPs, endpoints }));
  }
  return plans;
}

function mustBeAnsweredBy(pod: string, outcomes: readonly Outcome[]): void {
  const others = outcomes.filter((outcome) => !isAnswered(outcome) || outcome.pod !== pod);
  assert.deepEqual(others.slice(0, 3), [], `${others.length} of ${outcomes.length}`);
}
