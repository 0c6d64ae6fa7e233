import { parseArgs } from "node:util";
import { ApiServer } from "../core/kube/api_server.ts";
import { rawSlice } from "../core/kube/raw_objects.ts";
import { clusterIP, type ClusterSize } from "./cluster.ts";
import { fill, NODE } from "./process.ts";
import { milliseconds, percentile } from "./report.ts";
import { Running } from "./running.ts";

// Run by scripts/bench-peer.sh in a network namespace of its own, which has the addresses of `pods` and a way to 10.96.0.0/12.

const { values } = parseArgs({
  options: {
    services: { type: "string", default: "2000" },
    endpoints: { type: "string", default: "10" },
    rounds: { type: "string", default: "3" },
    changes: { type: "string", default: "10" },
    "kube-proxy": { type: "string", default: "" },
    proxy: { type: "string", default: "" },
  },
});
const size: ClusterSize = { services: Number(values.services), endpoints: Number(values.endpoints) };

/** What a packet is sent to, to see what is in force: the last service of the cluster. */
const MARKER = clusterIP(size.services + 256);
const pods = ["10.244.0.1", "10.244.0.2"] as const;
/** Time for garbage to have been collected, before the resident memory is read. */
const SETTLE_MS = 6000;

interface Contender {
  readonly name: string;
  readonly command: readonly string[];
  /** Between two changes: kube-proxy syncs once a second at most, and that wait is not what is measured. */
  readonly restMs: number;
}

const shared = (server: string) => [
  `--master=${server}`,
  `--hostname-override=${NODE}`,
  "--proxy-mode=nftables",
  "--cluster-cidr=10.128.0.0/9",
];
const contenders = (server: string): readonly Contender[] => [
  {
    name: "kube-proxy",
    command: [
      values["kube-proxy"],
      ...shared(server),
      ...["--kube-api-content-type=application/json", "--conntrack-max-per-core=0"],
    ],
    restMs: 2500,
  },
  { name: "proxy", command: [values.proxy, ...shared(server)], restMs: 100 },
];

/** Of one round, or of several; times in milliseconds, memory in MB of 1,000,000 bytes. */
class Measurements {
  readonly first: number[] = [];
  readonly cpu: number[] = [];
  readonly restart: number[] = [];
  readonly change: number[] = [];
  readonly resident: number[] = [];
  readonly peak: number[] = [];
}

await using server = new ApiServer();
server.behaviour.bookmarkInterval = 60_000;
fill(server, size);
server.put({
  apiVersion: "v1",
  kind: "Service",
  metadata: { name: "marker", namespace: "default" },
  spec: { clusterIP: MARKER, clusterIPs: [MARKER], ports: [{ port: 80, protocol: "TCP" }] },
});
for (const [index, hostname] of pods.entries()) serve(index, Deno.listen({ hostname, port: 8080 }));

console.log(
  `${size.services} services x ${size.endpoints} endpoints, mode nftables, ${values.rounds} rounds\n`,
);
const measured = new Map<string, Measurements>();
for (let round = 0; round < Number(values.rounds); round++) {
  for (const contender of contenders(server.url)) {
    const of = measured.get(contender.name) ?? new Measurements();
    measured.set(contender.name, of);
    await measure(contender, of);
    console.log(
      `  round ${round + 1}, ${contender.name}: in force after ${milliseconds(of.first.at(-1) ?? NaN)}`,
    );
  }
}
console.log(`\n${table(measured)}`);
Deno.exit(0);

async function measure({ command, restMs }: Contender, of: Measurements): Promise<void> {
  pointTo(0);
  {
    const started = performance.now();
    await using proxy = new Running(command);
    await reached(0, 120_000, 10);
    of.first.push(performance.now() - started);
    await pause(SETTLE_MS);
    of.cpu.push(proxy.cpu);
    of.resident.push(proxy.memory.now());
    for (let change = 1; change <= Number(values.changes); change++) {
      await pause(restMs);
      const sent = performance.now();
      pointTo(change % 2);
      await reached(change % 2, 30_000, 1);
      of.change.push(performance.now() - sent);
    }
    of.peak.push(proxy.memory.peak());
  }
  // While none runs something changes; the next has to find it, with the rules of the last one in the kernel.
  const now = 1 - Number(values.changes) % 2;
  pointTo(now);
  const started = performance.now();
  {
    await using _again = new Running(command);
    await reached(now, 120_000, 10);
    of.restart.push(performance.now() - started);
  }
  await new Deno.Command("nft", { args: ["flush", "ruleset"] }).output();
}

/** The only endpoint of the marker from now on. */
function pointTo(pod: number): void {
  server.put(rawSlice("marker-1", "marker", [pods[pod] ?? ""]));
}

/** Waits until connections to the marker are answered by this pod. */
async function reached(pod: number, withinMs: number, everyMs: number): Promise<void> {
  const deadline = performance.now() + withinMs;
  while (await ask() !== pod) {
    if (performance.now() > deadline) throw new Error(`pod ${pod} is not reached within ${withinMs} ms`);
    // The API server is this process too, and has to have its turn.
    await pause(everyMs);
  }
}

/** Who answers at the marker's address; none soon enough is undefined. */
async function ask(): Promise<number | undefined> {
  const { promise: silence, resolve } = Promise.withResolvers<undefined>();
  const timer = setTimeout(resolve, 20);
  const answer = async () => {
    try {
      using connection = await Deno.connect({ hostname: MARKER, port: 80 });
      const buffer = new Uint8Array(1);
      await connection.read(buffer);
      return buffer[0];
    } catch {
      return undefined;
    }
  };
  try {
    return await Promise.race([answer(), silence]);
  } finally {
    clearTimeout(timer);
  }
}

async function serve(pod: number, listener: Deno.TcpListener): Promise<void> {
  for await (const connection of listener) {
    connection.write(new Uint8Array([pod])).catch(() => {}).then(() => connection.close());
  }
}

function table(measured: ReadonlyMap<string, Measurements>): string {
  const [peer, ours] = [measured.get("kube-proxy"), measured.get("proxy")];
  if (peer === undefined || ours === undefined) throw new Error("not both were measured");
  const row = (what: string, of: (m: Measurements) => readonly number[], share: number, unit: string) => {
    const [theirs, own] = [percentile(of(peer), share), percentile(of(ours), share)];
    const shown = (value: number) => unit === "ms" ? milliseconds(value) : `${value.toFixed(0)} ${unit}`;
    return `| ${what} | ${shown(theirs)} | ${shown(own)} | ${(theirs / own).toFixed(1)} |`;
  };
  return [
    "| | kube-proxy | proxy | ratio |",
    "|---|---|---|---|",
    row("process start to everything in force, median", (m) => m.first, 0.5, "ms"),
    row("CPU time until 6 s after that, with child processes, median", (m) => m.cpu, 0.5, "ms"),
    row("restart: process start to a change made meanwhile in force, median", (m) => m.restart, 0.5, "ms"),
    row("one endpoint change, sent by the API server to seen by a packet, p50", (m) => m.change, 0.5, "ms"),
    row("the same, p99", (m) => m.change, 0.99, "ms"),
    row("resident then, median", (m) => m.resident, 0.5, "MB"),
    row("peak with child processes, median", (m) => m.peak, 0.5, "MB"),
  ].join("\n");
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
