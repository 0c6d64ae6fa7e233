import process from "node:process";
import { parseArgs } from "node:util";
import { EbpfBackend } from "../../backends/ebpf/backend.ts";
import type { EbpfOptions } from "../../backends/ebpf/options.ts";
import { atMost, distribution, type Figure, median, milliseconds, rows } from "./report.ts";
import { PlannedCluster, undone } from "./planned_cluster.ts";

// Run by scripts/bench-ebpf.sh in a network namespace of its own.

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
  balancing: "random",
  maglevTableSize: 1021,
  room: { frontends: 131072, endpoints: 524288, connections: 131072, clients: 65536 },
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
    const less = cluster.endpointRemoved(n);
    change.push(await timeOf(() => backend.apply([less])));
    await backend.apply([undone(less)]);
  }
  const figures: readonly Figure[] = [
    { what: "first programming", value: inWords(first), bar: atMost(median(wall(first)), 1000, "1 s") },
    { what: "reconcile after a restart", value: inWords(restart) },
    { what: "reconcile with nothing to do", value: inWords([unchanged]) },
    {
      what: "one endpoint removed, apply to in force",
      value: distribution(wall(change)),
      bar: atMost(median(wall(change)), 0.1, "100 us p50"),
    },
    ...await mapMemory(),
  ];
  console.log(rows("The backend alone, in this process", figures, true));
  await backend.cleanup();
}

interface Time {
  readonly wallMs: number;
  /** Of this process in programs, and in the kernel. */
  readonly userMs: number;
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

/** On a busy machine what it took of the processor says more than the clock. */
function inWords(times: readonly Time[]): string {
  const [user, system] = [times.map(({ userMs }) => userMs), times.map(({ systemMs }) => systemMs)];
  return `${milliseconds(median(wall(times)))}, of the processor ${
    milliseconds(median(user))
  } and in the kernel ` +
    milliseconds(median(system));
}

/** What the kernel charges for each map. */
async function mapMemory(): Promise<readonly Figure[]> {
  const figures: { readonly what: string; readonly bytes: number }[] = [];
  const [generation] = [...Deno.readDirSync(options.bpffs)].map(({ name }) => name);
  const directory = `${options.bpffs}/${generation}/maps`;
  for (const { name } of Deno.readDirSync(directory)) {
    const args = ["-j", "map", "show", "pinned", `${directory}/${name}`];
    const { stdout } = await new Deno.Command("/usr/sbin/bpftool", { args }).output();
    figures.push({ what: name, bytes: Number(JSON.parse(new TextDecoder().decode(stdout)).bytes_memlock) });
  }
  figures.sort((a, b) => b.bytes - a.bytes);
  const mebibytes = (bytes: number) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
  return [
    { what: "memory of all maps", value: mebibytes(figures.reduce((sum, { bytes }) => sum + bytes, 0)) },
    ...figures.slice(0, 8).map(({ what, bytes }) => ({ what: `  ${what}`, value: mebibytes(bytes) })),
  ];
}
