import process from "node:process";
import { parseArgs } from "node:util";
import { EbpfBackend } from "../../../backends/ebpf/backend.ts";
import type { EbpfOptions } from "../../../backends/ebpf/options.ts";
import { atMost, distribution, type Figure, median, milliseconds, rows } from "../report.ts";
import { PlannedCluster, reversed } from "../planned_cluster.ts";

// Measures the backend of mode ebpf. scripts/bench-ebpf.sh runs it in a network namespace of its own.

const { values } = parseArgs({
  options: {
    services: { type: "string", default: "30000" },
    endpoints: { type: "string", default: "10" },
    rounds: { type: "string", default: "5" },
    changes: { type: "string", default: "2000" },
    bpffs: { type: "string", default: "" },
    cgroup: { type: "string", default: "" },
  },
});
const size = { services: Number(values.services), endpoints: Number(values.endpoints) };
const options: EbpfOptions = {
  bpffs: values.bpffs,
  cgroup: values.cgroup,
  devices: [],
  sockets: "all",
  balancing: "random",
  forwarding: "auto",
  redirectPeer: true,
  maglevTableSize: 1021,
  capacity: { frontends: 131072, endpoints: 524288, connections: 131072, clients: 65536 },
  timeouts: { tcpEstablishedTimeoutMs: 0, tcpCloseWaitTimeoutMs: 0, udpTimeoutMs: 0, udpStreamTimeoutMs: 0 },
};

console.log(`${size.services} services x ${size.endpoints} endpoints, mode ebpf, IPv4\n`);
const cluster = new PlannedCluster(size, true);
const first: Time[] = [];
for (let round = 0; round < Number(values.rounds); round++) {
  using backend = new EbpfBackend(options);
  await backend.cleanup();
  first.push(await timeOf(() => backend.reconcile(cluster.desired)));
}
{
  const restart: Time[] = [];
  for (let round = 0; round < Number(values.rounds); round++) {
    using backend = new EbpfBackend(options);
    restart.push(await timeOf(() => backend.reconcile(cluster.desired)));
  }
  using backend = new EbpfBackend(options);
  await backend.reconcile(cluster.desired);
  const unchanged = await timeOf(() => backend.reconcile(cluster.desired));
  const change: Time[] = [];
  for (let n = 0; n < Number(values.changes); n++) {
    const removal = cluster.endpointRemoved(n);
    change.push(await timeOf(() => backend.apply([removal])));
    await backend.apply([reversed(removal)]);
  }
  const figures: readonly Figure[] = [
    { name: "first programming", value: describe(first), target: atMost(median(wall(first)), 1000, "1 s") },
    { name: "reconcile after a restart", value: describe(restart) },
    { name: "reconcile with no differences", value: describe([unchanged]) },
    {
      name: "one endpoint removed, apply to in force",
      value: distribution(wall(change)),
      target: atMost(median(wall(change)), 0.1, "100 us p50"),
    },
    ...await mapMemory(),
  ];
  console.log(rows("The backend alone, in this process", figures, true));
  await backend.cleanup();
}

interface Time {
  readonly wallMs: number;
  /** CPU time of this process in user space. */
  readonly userMs: number;
  /** CPU time of this process in the kernel. */
  readonly systemMs: number;
}

async function timeOf(work: () => Promise<unknown>): Promise<Time> {
  const [before, started] = [process.cpuUsage(), performance.now()];
  await work();
  const wallMs = performance.now() - started;
  const { user, system } = process.cpuUsage(before);
  return { wallMs, userMs: user / 1000, systemMs: system / 1000 };
}

function wall(times: readonly Time[]): readonly number[] {
  return times.map(({ wallMs }) => wallMs);
}

/** Medians of the wall time and the CPU times. On a busy machine, CPU time is more meaningful than wall time. */
function describe(times: readonly Time[]): string {
  const [user, system] = [times.map(({ userMs }) => userMs), times.map(({ systemMs }) => systemMs)];
  const cpu = `CPU ${milliseconds(median(user))} user, ${milliseconds(median(system))} system`;
  return `${milliseconds(median(wall(times)))} (${cpu})`;
}

/** Memory of the maps, as accounted by the kernel. */
async function mapMemory(): Promise<readonly Figure[]> {
  const maps: { readonly name: string; readonly bytes: number }[] = [];
  const [generation] = [...Deno.readDirSync(options.bpffs)].map(({ name }) => name);
  const directory = `${options.bpffs}/${generation}/maps`;
  for (const { name } of Deno.readDirSync(directory)) {
    const args = ["-j", "map", "show", "pinned", `${directory}/${name}`];
    const { stdout } = await new Deno.Command("/usr/sbin/bpftool", { args }).output();
    maps.push({ name, bytes: Number(JSON.parse(new TextDecoder().decode(stdout)).bytes_memlock) });
  }
  maps.sort((a, b) => b.bytes - a.bytes);
  const mebibytes = (bytes: number) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
  return [
    { name: "memory of all maps", value: mebibytes(maps.reduce((sum, { bytes }) => sum + bytes, 0)) },
    ...maps.slice(0, 8).map(({ name, bytes }) => ({ name: `  ${name}`, value: mebibytes(bytes) })),
  ];
}
