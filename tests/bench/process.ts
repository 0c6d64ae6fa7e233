import { endpointChainAt } from "../../backends/iptables/rules/names.ts";
import { nameHash } from "../../backends/name_hash.ts";
import { IpvsConnection } from "../../backends/ipvs/protocol/connection.ts";
import { ApiServer } from "../core/kube/api_server.ts";
import { addressOf } from "../backends/plans.ts";
import { slowness } from "../lab/pace.ts";
import { changesIn, virtualServerOf } from "./change_in_kernel.ts";
import {
  clusterIP,
  type ClusterSize,
  endpointIP,
  nodeObject,
  serviceObject,
  sliceObject,
} from "./cluster.ts";
import { memory } from "./resident_memory.ts";
import type { MeasuredMode } from "./mode.ts";
import {
  atMost,
  type Bar,
  bothBars,
  distribution,
  type Figure,
  median,
  milliseconds,
  percentile,
} from "./report.ts";

export const NODE = "node-0";
/** Time for collections of garbage to have happened, before the resident memory is read. */
const SETTLE_MS = 6000;

/** What is measured as a process. */
export interface Subject {
  readonly mode: MeasuredMode;
  /** The compiled one. */
  readonly program: string;
}

/** What a mode promises of the process: MB, and for 10,000 services of 10 endpoints where there are any. */
interface Bars {
  readonly idle?: number;
  readonly resident: number;
  readonly peak: number;
  /** Milliseconds. */
  readonly restart?: number;
  readonly change?: (latencies: readonly number[]) => Bar;
}

const barsOf: Readonly<Record<MeasuredMode, Bars>> = {
  nftables: {
    idle: 65,
    resident: 120,
    peak: 200,
    restart: 2000,
    change: (latencies) =>
      bothBars(
        atMost(percentile(latencies, 0.5), 2, "2 ms p50"),
        atMost(percentile(latencies, 0.99), 10, "10 ms p99"),
      ),
  },
  iptables: { resident: 150, peak: 350 },
  ipvs: { resident: 120, peak: 200 },
};

/** The compiled program as a process, from its start to changes under way, seen from outside. */
export async function measureProcess(
  subject: Subject,
  size: ClusterSize,
  changes: number,
): Promise<readonly Figure[]> {
  const bars = barsOf[subject.mode];
  await using server = new ApiServer();
  server.behaviour.bookmarkInterval = 60_000;
  fill(server, size);
  await using proxy = new Proxy(subject, server.url);
  const inForce = await proxy.programmed();
  const peak = memory(proxy.pid, "VmHWM");
  await pause(SETTLE_MS);
  const resident = memory(proxy.pid, "VmRSS");
  const mostResident = size.services === 0 ? bars.idle : bars.resident;
  const figures: Figure[] = [
    { what: "process start to services in force", value: milliseconds(inForce) },
    {
      what: "resident after that",
      value: `${resident} MB`,
      ...mostResident === undefined ? {} : { bar: atMostMegabytes(resident, mostResident) },
    },
    { what: "peak", value: `${peak} MB`, bar: atMostMegabytes(peak, bars.peak) },
  ];
  if (changes === 0) return figures;
  figures.push({ what: "the sync in it", value: `${proxy.lastSyncSeconds()} s` });
  const latencies = await measureChanges(subject.mode, server, size, changes);
  const [residentNow, peakNow] = [memory(proxy.pid, "VmRSS"), memory(proxy.pid, "VmHWM")];
  const restart = median(await measureRestarts(subject.mode, server, proxy, size));
  figures.push({
    what: "one endpoint change, sent by the API server to committed",
    value: distribution(latencies),
    ...bars.change === undefined ? {} : { bar: bars.change(latencies) },
  }, {
    what: "resident, peak after the changes",
    value: `${residentNow} MB, ${peakNow} MB`,
  }, {
    what: "kill -9 and start to a change made meanwhile in force, median of 5",
    value: milliseconds(restart),
    ...bars.restart === undefined ? {} : { bar: atMost(restart, bars.restart, milliseconds(bars.restart)) },
  });
  return figures;
}

function atMostMegabytes(measured: number, limit: number): Bar {
  return atMost(measured, limit, `${limit} MB`);
}

/** Each time an endpoint goes while no proxy runs, and it is not in the kernel any more after the next start. */
async function measureRestarts(
  mode: MeasuredMode,
  server: ApiServer,
  proxy: Proxy,
  size: ClusterSize,
): Promise<readonly number[]> {
  const times: number[] = [];
  for (let service = 0; service < 5; service++) {
    await proxy.kill();
    server.put(JSON.parse(JSON.stringify(sliceObject(service, size, { without: 0 }))));
    proxy.start();
    times.push(await proxy.programmed());
    await checkFirstEndpoint[mode](service, size);
  }
  return times;
}

/** Looks whether the first of the endpoints in the kernel is the second of the cluster's. */
const checkFirstEndpoint: Readonly<
  Record<MeasuredMode, (service: number, size: ClusterSize) => Promise<void>>
> = {
  nftables: async (service, size) => {
    const slot = `${clusterIP(service)} . tcp . 80 . 0`;
    const found = await output("nft", ["get", "element", "ip", "kube-proxy", "endpoints", `{ ${slot} }`]);
    const expected = `${slot} : ${endpointIP(service, 1, size)} . 8080`;
    if (!found.includes(expected)) throw new Error(`the kernel lacks ${expected}`);
  },
  iptables: async (service, size) => {
    const identity = `ns-${service % 50}/svc-${service}:httptcp`;
    const chain = "KUBE-SVC-" + nameHash(identity);
    const found = await output("nft", ["list", "chain", "ip", "nat", chain]);
    for (const [endpoint, isExpected] of [[0, false], [1, true]] as const) {
      const target = endpointChainAt(identity, `${endpointIP(service, endpoint, size)}:8080`);
      if (found.includes(target) !== isExpected) {
        throw new Error(`${target} ${isExpected ? "is missing" : "is still"} in ${chain}`);
      }
    }
  },
  ipvs: async (service, size) => {
    using connection = await IpvsConnection.open();
    const found = await connection.realServers(virtualServerOf(service));
    for (const [endpoint, isExpected] of [[0, false], [1, true]] as const) {
      const address = addressOf(endpointIP(service, endpoint, size));
      const isFound = found.some((one) => one.address === address && one.weight > 0);
      if (isFound !== isExpected) {
        throw new Error(`${endpointIP(service, endpoint, size)} is not as expected`);
      }
    }
  },
};

async function output(command: string, args: readonly string[]): Promise<string> {
  const { stdout } = await new Deno.Command(command, { args: [...args] }).output();
  return new TextDecoder().decode(stdout);
}

/** Makes the server hold a cluster. */
export function fill(server: ApiServer, size: ClusterSize): void {
  server.preload("Node", "", NODE, () => JSON.stringify(nodeObject(NODE)));
  for (let i = 0; i < size.services; i++) {
    const namespace = `ns-${i % 50}`;
    server.preload("Service", namespace, `svc-${i}`, (version) => JSON.stringify(serviceObject(i, version)));
    server.preload(
      "EndpointSlice",
      namespace,
      `svc-${i}-abcde`,
      (version) => JSON.stringify(sliceObject(i, size, { resourceVersion: version })),
    );
  }
}

async function measureChanges(
  mode: MeasuredMode,
  server: ApiServer,
  size: ClusterSize,
  changes: number,
): Promise<number[]> {
  // Not before: with a listener about, the kernel writes a notification for each element of the first programming.
  using kernel = await changesIn[mode]();
  const latencies: number[] = [];
  for (let i = 0; i < changes; i++) {
    const service = (i * 7919) % size.services;
    for (const without of [service % size.endpoints, -1]) {
      const inForce = kernel.next({ service, endpoints: size.endpoints - (without < 0 ? 0 : 1) });
      const sent = performance.now();
      server.put(JSON.parse(JSON.stringify(sliceObject(service, size, { without }))));
      latencies.push(await inForce - sent);
      await pause(2);
    }
  }
  return latencies;
}

/** One process after the other; ended and its rules removed when disposed. */
class Proxy implements AsyncDisposable {
  readonly #subject: Subject;
  readonly #server: string;
  #child: Deno.ChildProcess;
  #log: Promise<void> = Promise.resolve();
  #text = "";
  #startedAt = 0;

  constructor(subject: Subject, server: string) {
    this.#subject = subject;
    this.#server = server;
    this.#child = this.start();
  }

  start(): Deno.ChildProcess {
    this.#text = "";
    this.#startedAt = performance.now();
    const { program, mode } = this.#subject;
    this.#child = new Deno.Command(program, {
      args: ["--master", this.#server, "--hostname-override", NODE, "--proxy-mode", mode, "-v", "2"],
      stderr: "piped",
      stdout: "null",
    }).spawn();
    this.#log = this.#read(this.#child);
    return this.#child;
  }

  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.status;
    await this.#log;
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** Waits for the first programming; milliseconds since the process was started. */
  async programmed(): Promise<number> {
    const deadline = performance.now() + 60_000 * slowness;
    while (!this.#text.includes("Reconciled the kernel")) {
      if (performance.now() > deadline) throw new Error(`nothing is programmed:\n${this.#text}`);
      await pause(1);
    }
    return performance.now() - this.#startedAt;
  }

  lastSyncSeconds(): string {
    return [...this.#text.matchAll(/"Synced".* seconds=([\d.]+)/g)].at(-1)?.[1] ?? "?";
  }

  async #read(child: Deno.ChildProcess): Promise<void> {
    for await (const text of child.stderr.pipeThrough(new TextDecoderStream())) this.#text += text;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    await new Deno.Command(this.#subject.program, { args: ["--cleanup"], stderr: "null" }).output();
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
