import assert from "node:assert/strict";
import { SETTLED_MS } from "../../../backends/ebpf/programs/peer_devices.ts";
import { FAMILIES, type Family } from "../../../core/net/protocol.ts";
import { planOf } from "../../backends/plans.ts";
import { isAnswered } from "../../lab/agent.ts";
import { Lab } from "../../lab/lab.ts";
import { slowness } from "../../lab/pace.ts";
import { machines, servedPorts } from "../../lab/topology.ts";
import { startEbpf } from "../support/ebpf_process.ts";
import { labSettings } from "../support/lab_settings.ts";
import { PrivateMounts } from "./support/private_mounts.ts";

const CONNECTIONS = 10;
const PROTOCOLS = ["TCP", "UDP"] as const;
const port = servedPorts[0]!;
const NODE_PORT = 30080;

/** The node's side of the only pod that has a veth pair of its own. */
const DEVICE = "pods-c";

/** Some packets of the kernel itself, such as those that ask for neighbours. */
const MAX_OTHER_PACKETS = 5;

Deno.test("packets to a pod skip the node's side of its veth pair, and are counted on the other side", async (t) => {
  await using mounts = await PrivateMounts.make();
  await using lab = await Lab.create();
  await using backend = startEbpf({ name: lab.namespace("node") }, mounts, { redirectPeer: true });
  await backend.reconcile(FAMILIES.flatMap(servicesOf), labSettings());

  const packets = async (machine: "node" | "pod-c", device: string, counter: string) => {
    const { stdout } = await lab.run(machine, ["cat", `/sys/class/net/${device}/statistics/${counter}`]);
    return Number(stdout);
  };
  /** Packets that leave by the node's side, and those that arrive at the pod. */
  const connect = async (family: Family, protocol: typeof PROTOCOLS[number]) => {
    const [left, arrived] = [
      await packets("node", DEVICE, "tx_packets"),
      await packets("pod-c", "eth0", "rx_packets"),
    ];
    const target = { protocol, to: machines.node.addresses[family], port: NODE_PORT };
    const outcomes = await lab.agent("outside").probe(target, { times: CONNECTIONS });
    for (const outcome of outcomes) {
      assert(isAnswered(outcome) && outcome.pod === "pod-c", JSON.stringify(outcome));
    }
    return {
      left: await packets("node", DEVICE, "tx_packets") - left,
      arrived: await packets("pod-c", "eth0", "rx_packets") - arrived,
    };
  };
  const untilSkipped = async (isSkipped: boolean) => {
    const deadline = Date.now() + (2 * SETTLED_MS + 20_000) * slowness;
    const isAsWanted = async () => (await connect("IPv4", "TCP")).left < CONNECTIONS === isSkipped;
    while (!await isAsWanted()) {
      assert(Date.now() < deadline, `the node's side is ${isSkipped ? "not" : "still"} skipped`);
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  };

  await t.step("not at once, because something may still be attached", async () => {
    assert((await connect("IPv4", "TCP")).left >= CONNECTIONS);
  });
  await t.step("after a while", () => untilSkipped(true));
  for (const family of FAMILIES) {
    for (const protocol of PROTOCOLS) {
      await t.step(`${protocol} (${family})`, async () => {
        // For the first packet the neighbour may be unknown.
        await connect(family, protocol);
        const { left, arrived } = await connect(family, protocol);
        assert(left <= MAX_OTHER_PACKETS, `${left} packets leave by the node's side`);
        assert(arrived >= CONNECTIONS, `${arrived} packets arrive at the pod`);
      });
    }
  }
  await t.step("not any more when the bandwidth is limited there", async () => {
    const limit = ["root", "tbf", "rate", "100mbit", "burst", "100kb", "latency", "1s"];
    await lab.run("node", ["tc", "qdisc", "add", "dev", DEVICE, ...limit]);
    await untilSkipped(false);
  });
});

function servicesOf(family: Family) {
  return PROTOCOLS.map((protocol) =>
    planOf({
      name: `${protocol}-${family}`,
      family,
      protocol,
      nodePort: NODE_PORT,
      endpoints: [`${bracketed(machines["pod-c"].addresses[family])}:${port}@here`],
    })
  );
}

function bracketed(address: string): string {
  return address.includes(":") ? `[${address}]` : address;
}
