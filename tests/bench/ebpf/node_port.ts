import { parseArgs } from "node:util";
import { setTimeout as delay } from "node:timers/promises";
import { SETTLED_MS } from "../../../backends/ebpf/programs/peer_devices.ts";
import { planOf } from "../../backends/plans.ts";
import { BackendProcess } from "../../integration/support/backend_process.ts";
import { startEbpf } from "../../integration/support/ebpf_process.ts";
import { labSettings } from "../../integration/support/lab_settings.ts";
import { PrivateMounts } from "../../integration/ebpf/support/private_mounts.ts";
import { run } from "../../integration/support/network_namespace.ts";
import { Lab } from "../../lab/lab.ts";
import { type MachineName, machines, podCidrs } from "../../lab/topology.ts";
import { atLeast, type Figure, median, rows } from "../report.ts";

// Measures new connections from outside through a node port, in modes nftables and ebpf alternately, in one lab. For
// comparison also without a proxy: to a pod's own address, and to the node itself, which needs no forwarding. What a
// connection takes more than the latter is the node's work; the rest are both ends of the connection. Each measurement is long enough for the cost of remembered closed connections
// to count as on a busy node.
//
// On a busy machine the connections per second say nothing, because other programs get a part of the time. The median
// time of a connection does: most connections are not interrupted.

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "3" },
    seconds: { type: "string", default: "20" },
    /** The endpoints: pods of the lab's node. Only pod-c has a veth pair of its own; the others are behind a bridge. */
    pods: { type: "string", default: "pod-a,pod-b,pod-c" },
  },
});
/** Node ports and ports of endpoints: one for each process of the client. */
const FIRST_PORT = 30080;
const processes = navigator.hardwareConcurrency;
const ports = Array.from({ length: processes }, (_, index) => FIRST_PORT + index);
const nodePods = ["pod-a", "pod-b", "pod-c"] as const;
const pods = nodePods.filter((pod) => values.pods.split(",").includes(pod));
const [firstPod] = pods;
if (firstPod === undefined) throw new Error(`--pods ${values.pods}: name at least one of ${nodePods}`);
/** Source addresses of the client; one address would run out of ports. */
const sources = Array.from({ length: 100 }, (_, index) => `192.168.8.${100 + index}`);

await run(new URL("../../../scripts/bpf.sh", import.meta.url).pathname);
await using mounts = await PrivateMounts.make();
await using lab = await Lab.create();
const connections = `${lab.directory}/connections`;
await run("clang", "-O2", "-o", connections, new URL("connections.c", import.meta.url).pathname);
for (const source of sources) {
  await lab.run("outside", ["ip", "address", "add", `${source}/24`, "dev", "lan"]);
}

// For connections without a proxy.
const toPods = ["ip", "route", "add", podCidrs.here.IPv4, "via", machines.node.addresses.IPv4];
await lab.run("outside", toPods);

const plans = ports.map((port) =>
  planOf({
    name: `web-${port}`,
    nodePort: port,
    endpoints: pods.map((pod) => `${machines[pod].addresses.IPv4}:${port}@here`),
  })
);
const settings = labSettings();

interface Rate {
  readonly perSecond: number;
  readonly microseconds: number;
}
/** With "both sides", no packet skips the node's side of a veth pair. */
const proxies = ["nftables", "ebpf", "ebpf, both sides"] as const;
const ways = ["to the node", "forwarded", ...proxies] as const;
const rates: Record<typeof ways[number], Rate[]> = {
  "to the node": [],
  forwarded: [],
  nftables: [],
  ebpf: [],
  "ebpf, both sides": [],
};
for (let round = 0; round < Number(values.rounds); round++) {
  rates["to the node"].push(await connect(machines.node.addresses.IPv4, ["node"]));
  rates.forwarded.push(await connect(machines[firstPod].addresses.IPv4));
  for (const proxy of proxies) rates[proxy].push(await measure(proxy));
}
const timeOf = (way: typeof ways[number]) => median(rates[way].map(({ microseconds }) => microseconds));
/** Ratio of the node's parts, of the same round each, because the speed of a shared machine changes between them. */
const ratioTo = (way: typeof proxies[number]) =>
  median(rates[way].map(({ microseconds }, round) => {
    const [ends, nftables] = [rates["to the node"][round]!, rates.nftables[round]!];
    return (nftables.microseconds - ends.microseconds) / (microseconds - ends.microseconds);
  }));
const ratio = ratioTo("ebpf");
const figures: readonly Figure[] = [
  ...ways.map((way) => ({
    name: way,
    value: `${timeOf(way).toFixed(1)} µs per connection (${
      rates[way].map(({ microseconds }) => microseconds.toFixed(1)).join(", ")
    }); ${rates[way].map(({ perSecond }) => Math.round(perSecond)).join(", ")} per second`,
  })),
  {
    name: "time of a connection, nftables / ebpf",
    value: (timeOf("nftables") / timeOf("ebpf")).toFixed(2),
  },
  { name: "the node's part, nftables / ebpf", value: ratio.toFixed(2), target: atLeast(ratio, 1.4, "times") },
  { name: "the same, both sides", value: ratioTo("ebpf, both sides").toFixed(2) },
];
console.log(
  rows(`New connections from outside through a node port, ${processes} CPUs, ${values.seconds} s`, figures),
);

async function measure(proxy: typeof proxies[number]): Promise<Rate> {
  const capacity = { frontends: 4096, endpoints: 4096, connections: 131072, clients: 1024 };
  const node = { name: lab.namespace("node") };
  const redirectPeer = proxy === "ebpf";
  await using backend = proxy === "nftables"
    ? new BackendProcess(proxy, node)
    : startEbpf(node, mounts, { redirectPeer, capacity });
  await backend.reconcile(plans, settings);
  // The programs begin to skip a side of a veth pair when nothing was attached there for a while.
  if (redirectPeer) await delay(2 * SETTLED_MS + 1000);
  const rate = await connect(machines.node.addresses.IPv4);
  await backend.cleanup();
  return rate;
}

/** Makes connections for a while, after those that wait for the resolution of neighbours. */
async function connect(address: string, servers: readonly MachineName[] = pods): Promise<Rate> {
  await connectFor("1", address, servers, 1);
  await lab.run("node", ["conntrack", "-F"]);
  return await connectFor(values.seconds, address, servers);
}

/** @param mayFail share of the connections. */
async function connectFor(
  seconds: string,
  address: string,
  servers: readonly MachineName[],
  mayFail = 0.001,
): Promise<Rate> {
  const namespaces = servers.map((server) => lab.namespace(server)).join(",");
  const to = [address, `${FIRST_PORT}`, seconds, `${processes}`, namespaces];
  const { stdout, stderr } = await lab.run("outside", [connections, ...to, ...sources]);
  const [answered, failed, nanoseconds] = stdout.trim().split(" ").map(Number);
  if (stderr !== "" || answered === undefined || failed === undefined || nanoseconds === undefined) {
    throw new Error(`${address}: ${stdout}${stderr}`);
  }
  if (failed / answered > mayFail) {
    throw new Error(`${address}: ${stdout}${stderr}`);
  }
  return { perSecond: answered / Number(seconds), microseconds: nanoseconds / 1000 };
}
