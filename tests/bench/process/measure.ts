import { endpointChainAt } from "../../../backends/iptables/rules/names.ts";
import { nameHash } from "../../../backends/name_hash.ts";
import { IpvsConnection } from "../../../backends/ipvs/protocol/connection.ts";
import { ApiServer } from "../../core/kube/api/api_server.ts";
import { addressOf } from "../../backends/plans.ts";
import { slowness } from "../../lab/pace.ts";
import { changeObservers, decodeVirtualServer } from "./change_observer.ts";
import {
  clusterIP,
  type ClusterSize,
  endpointIP,
  nodeObject,
  serviceObject,
  sliceObject,
} from "../cluster.ts";
import { memory } from "./resident_memory.ts";
import type { MeasuredMode } from "../mode.ts";
import {
  atMost,
  bothTargets,
  distribution,
  type Figure,
  median,
  milliseconds,
  percentile,
  type Target,
} from "../report.ts";

export const NODE = "node-0";
/** Time for garbage collection before the resident memory is read. */
const SETTLE_MS = 6000;

/** The compiled program and the mode to run it in. */
export interface Program {
  readonly mode: MeasuredMode;
  readonly path: string;
}

interface ProxyProgram extends Pick<Program, "path"> {
  readonly mode: string;
}

/** Performance targets of the process, for 10,000 services with 10 endpoints each. Memory is in MB. */
interface ProcessTargets {
  /** Resident memory without services. */
  readonly idle?: number;
  readonly resident: number;
  readonly peak: number;
  /** Milliseconds. */
  readonly restart?: number;
  readonly change?: (latencies: readonly number[]) => Target;
}

const processTargets: Readonly<Record<MeasuredMode, ProcessTargets>> = {
  nftables: {
    idle: 65,
    resident: 120,
    peak: 200,
    restart: 2000,
    change: (latencies) =>
      bothTargets(
        atMost(percentile(latencies, 0.5), 2, "2 ms p50"),
        atMost(percentile(latencies, 0.99), 10, "10 ms p99"),
      ),
  },
  iptables: { resident: 150, peak: 350 },
  ipvs: { resident: 120, peak: 200 },
};

/** Measures the compiled program from outside: its start, its memory, changes and restarts. */
export async function measureProcess(
  program: Program,
  size: ClusterSize,
  changes: number,
): Promise<readonly Figure[]> {
  const targets = processTargets[program.mode];
  await using server = new ApiServer();
  server.behaviour.bookmarkInterval = 60_000;
  fill(server, size);
  await using proxy = new Proxy(program, server.url);
  const inForce = await proxy.waitUntilReconciled();
  const peak = memory(proxy.pid, "VmHWM");
  await pause(SETTLE_MS);
  const resident = memory(proxy.pid, "VmRSS");
  const maxResident = size.services === 0 ? targets.idle : targets.resident;
  const figures: Figure[] = [
    { name: "process start to services in force", value: milliseconds(inForce) },
    {
      name: "resident memory after that",
      value: `${resident} MB`,
      ...maxResident === undefined ? {} : { target: atMostMegabytes(resident, maxResident) },
    },
    { name: "peak memory", value: `${peak} MB`, target: atMostMegabytes(peak, targets.peak) },
  ];
  if (changes === 0) return figures;
  figures.push({ name: "the first sync", value: `${proxy.lastSyncSeconds()} s` });
  const latencies = await measureChanges(program.mode, server, size, changes);
  const [residentNow, peakNow] = [memory(proxy.pid, "VmRSS"), memory(proxy.pid, "VmHWM")];
  const restart = median(await measureRestarts(program.mode, server, proxy, size));
  figures.push({
    name: "one endpoint change, sent by the API server to committed",
    value: distribution(latencies),
    ...targets.change === undefined ? {} : { target: targets.change(latencies) },
  }, {
    name: "resident and peak memory after the changes",
    value: `${residentNow} MB, ${peakNow} MB`,
  }, {
    name: "kill -9 and start to a change made meanwhile in force, median of 5",
    value: milliseconds(restart),
    ...targets.restart === undefined
      ? {}
      : { target: atMost(restart, targets.restart, milliseconds(targets.restart)) },
  });
  return figures;
}

function atMostMegabytes(measured: number, limit: number): Target {
  return atMost(measured, limit, `${limit} MB`);
}

/**
 * Measures restarts in milliseconds. An endpoint is removed while no proxy runs, and must be gone from the kernel after
 * the next start.
 */
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
    times.push(await proxy.waitUntilReconciled());
    await checkFirstEndpoint[mode](service, size);
  }
  return times;
}

/** Checks that the first endpoint in the kernel is the second one of the cluster. @throws if it is not. */
const checkFirstEndpoint: Readonly<
  Record<MeasuredMode, (service: number, size: ClusterSize) => Promise<void>>
> = {
  nftables: async (service, size) => {
    const slot = `${clusterIP(service)} . tcp . 80 . 0`;
    const found = await output("nft", ["get", "element", "ip", "kube-proxy", "endpoints", `{ ${slot} }`]);
    const expected = `${slot} : ${endpointIP(service, 1, size)} . 8080`;
    if (!found.includes(expected)) throw new Error(`${expected} is missing in the kernel`);
  },
  iptables: async (service, size) => {
    const identity = `ns-${service % 50}/svc-${service}:httptcp`;
    const chain = "KUBE-SVC-" + nameHash(identity);
    const found = await output("nft", ["list", "chain", "ip", "nat", chain]);
    for (const [endpoint, isExpected] of [[0, false], [1, true]] as const) {
      const target = endpointChainAt(identity, `${endpointIP(service, endpoint, size)}:8080`);
      if (found.includes(target) !== isExpected) {
        throw new Error(`${target} ${isExpected ? "is missing" : "still exists"} in ${chain}`);
      }
    }
  },
  ipvs: async (service, size) => {
    using connection = await IpvsConnection.open();
    const found = await connection.realServers(decodeVirtualServer(service));
    for (const [endpoint, isExpected] of [[0, false], [1, true]] as const) {
      const address = addressOf(endpointIP(service, endpoint, size));
      const isFound = found.some((server) => server.address === address && server.weight > 0);
      if (isFound !== isExpected) {
        const ip = endpointIP(service, endpoint, size);
        throw new Error(`real server ${ip} ${isExpected ? "is missing" : "still exists"}`);
      }
    }
  },
};

async function output(command: string, args: readonly string[]): Promise<string> {
  const { stdout } = await new Deno.Command(command, { args: [...args] }).output();
  return new TextDecoder().decode(stdout);
}

/** Loads the objects of a cluster into the server. */
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

/** Measures changes of one endpoint, in milliseconds from when the API server sends them until they are in force. */
export async function measureChanges(
  mode: MeasuredMode,
  server: ApiServer,
  size: ClusterSize,
  changes: number,
): Promise<number[]> {
  // Created after the first programming: with a listener, the kernel would send a notification for each element of it.
  using observer = await changeObservers[mode]();
  const latencies: number[] = [];
  for (let i = 0; i < changes; i++) {
    const service = (i * 7919) % size.services;
    for (const without of [service % size.endpoints, -1]) {
      const inForce = observer.next({ service, endpoints: size.endpoints - (without < 0 ? 0 : 1) });
      const sent = performance.now();
      server.put(JSON.parse(JSON.stringify(sliceObject(service, size, { without }))));
      latencies.push(await inForce - sent);
      await pause(2);
    }
  }
  return latencies;
}

/** The program as a process that can be killed and started again. Disposal ends it and removes its rules. */
export class Proxy implements AsyncDisposable {
  readonly #program: ProxyProgram;
  readonly #server: string;
  #child: Deno.ChildProcess;
  #log: Promise<void> = Promise.resolve();
  #text = "";
  #startedAt = 0;

  constructor(program: ProxyProgram, server: string) {
    this.#program = program;
    this.#server = server;
    this.#child = this.start();
  }

  start(): Deno.ChildProcess {
    this.#text = "";
    this.#startedAt = performance.now();
    const { path, mode } = this.#program;
    this.#child = new Deno.Command(path, {
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

  /** Waits for the first reconcile. Returns the time since the process was started, in milliseconds. */
  async waitUntilReconciled(): Promise<number> {
    const deadline = performance.now() + 60_000 * slowness;
    while (!this.#text.includes("Reconciled the kernel")) {
      if (performance.now() > deadline) throw new Error(`no reconcile within the time limit:\n${this.#text}`);
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
    await new Deno.Command(this.#program.path, { args: ["--cleanup"], stderr: "null" }).output();
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
