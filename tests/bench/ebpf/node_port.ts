import { parseArgs } from "node:util";
import { FAMILIES } from "../../../core/net/protocol.ts";
import { addressOf, cidrOf, planOf, settingsOf } from "../../backends/plans.ts";
import { BackendProcess } from "../../integration/support/backend_process.ts";
import { PrivateMounts } from "../../integration/ebpf/support/private_mounts.ts";
import { run } from "../../integration/support/network_namespace.ts";
import { Lab } from "../../lab/lab.ts";
import { machines, podCidrs } from "../../lab/topology.ts";
import { atLeast, type Figure, median, rows } from "../report.ts";

// Measures new connections per second from outside through a NodePort, in modes nftables and ebpf alternately, in one
// lab. Each measurement is long enough for the cost of remembered closed connections to count as on a busy node.

const { values } = parseArgs({
  options: { rounds: { type: "string", default: "3" }, seconds: { type: "string", default: "20" } },
});
const PORT = "9000";
const NODE_PORT = 30080;
const pods = ["pod-a", "pod-b", "pod-c"] as const;
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
for (const pod of pods) lab.spawn(pod, [connections, "serve", PORT], { stdin: "null" });

const endpoints = pods.map((pod) => `${machines[pod].addresses.IPv4}:${PORT}@here`);
const plans = [planOf({ nodePort: NODE_PORT, endpoints })];
const settings = FAMILIES.map((family) => {
  const node = addressOf(machines.node.addresses[family]);
  return settingsOf(family, {
    interfaceAddresses: [node],
    nodePorts: [node],
    localTraffic: { mode: "cidr", cidr: cidrOf(podCidrs.here[family]) },
  });
});

const modes = ["nftables", "ebpf"] as const;
const perSecond = { nftables: [] as number[], ebpf: [] as number[] };
for (let round = 0; round < Number(values.rounds); round++) {
  for (const mode of modes) perSecond[mode].push(await measure(mode));
}
const ratio = median(perSecond.ebpf) / median(perSecond.nftables);
const figures: readonly Figure[] = [
  ...modes.map((mode) => ({
    name: `connections per second, mode ${mode}`,
    value: `${Math.round(median(perSecond[mode]))} (${perSecond[mode].map(Math.round).join(", ")})`,
  })),
  { name: "ratio of the medians", value: ratio.toFixed(2), target: atLeast(ratio, 1.3, "times") },
];
console.log(rows(`New connections from outside through a NodePort, for ${values.seconds} s`, figures));

async function measure(mode: typeof modes[number]): Promise<number> {
  const options = JSON.stringify({
    bpffs: mounts.bpffs,
    cgroup: mounts.cgroup,
    capacity: { frontends: 4096, endpoints: 4096, connections: 131072, clients: 1024 },
  });
  const node = { name: lab.namespace("node") };
  await using backend = new BackendProcess(
    mode,
    node,
    mode === "ebpf" ? ["env", `EBPF_OPTIONS=${options}`] : [],
  );
  await backend.reconcile(plans, settings);
  const connect = (seconds: string) =>
    lab.run("outside", [
      connections,
      "connect",
      machines.node.addresses.IPv4,
      `${NODE_PORT}`,
      seconds,
      ...sources,
    ]);
  // Warm up: the first connections wait for neighbour resolution and for servers that are still starting.
  await connect("2");
  await lab.run("node", ["conntrack", "-F"]);
  const { stdout, stderr } = await connect(values.seconds);
  await backend.cleanup();
  const [answered, failed] = stdout.trim().split(" ").map(Number);
  // One or two connections may still be in progress at the end.
  if (stderr !== "" || answered === undefined || failed === undefined || failed > answered / 100) {
    throw new Error(`mode ${mode}: ${stdout}${stderr}`);
  }
  return answered / Number(values.seconds);
}
