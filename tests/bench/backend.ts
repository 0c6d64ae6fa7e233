import type { Backend } from "../../core/backend/contract.ts";
import { IptablesBackend } from "../../backends/iptables/backend.ts";
import { NftablesBackend } from "../../backends/nftables/backend.ts";
import { IpvsBackend } from "../../backends/ipvs/backend.ts";
import { defaultOptions } from "../backends/ipvs/options.ts";
import type { ClusterSize } from "./cluster.ts";
import { kernelTime } from "./cpu_time.ts";
import type { MeasuredMode } from "./mode.ts";
import { PlannedCluster, undone } from "./planned_cluster.ts";
import { median } from "./report.ts";
import { run } from "./run_command.ts";
import { flushServers } from "./flush_servers.ts";
import { Recording, sendPrepared } from "./recording.ts";

const constructors: Readonly<Record<MeasuredMode, (recording: Recording) => Backend>> = {
  nftables: ({ open }) => new NftablesBackend(open),
  iptables: ({ open }) => new IptablesBackend(open),
  ipvs: ({ open }) => new IpvsBackend(defaultOptions, open),
};

/** Milliseconds, where nothing else is said. The prepared ones are the same bytes sent again: the kernel's part. */
export interface BackendTimes {
  readonly planning: number;
  /** Median. */
  readonly first: number;
  readonly firstPrepared: number;
  /** Of `first`, in the kernel. Median, as all of these. */
  readonly firstInKernel: number;
  readonly firstPreparedInKernel: number;
  readonly batchBytes: number;
  /** Reconciled again, with nothing to do. */
  readonly unchanged: number;
  /** Reconciled by a backend that has just been made, as after a restart. */
  readonly restart: number;
  /** Reconciled after somebody flushed all rules. */
  readonly repair: number;
  /** One endpoint less. */
  readonly change: readonly number[];
  readonly changePrepared: readonly number[];
  readonly serviceAdded: readonly number[];
  readonly serviceRemoved: readonly number[];
  /** Changes like `change`, in one transaction. */
  readonly hundredChanges: readonly number[];
}

export interface Effort {
  /** First programmings. */
  readonly rounds: number;
  /** One after the other. */
  readonly changes: number;
  /** Told what is measured from now on, for where it takes minutes. */
  readonly begin: (stage: string) => void;
}

/** A backend in this process, without the program around it. */
export async function measureBackend(
  mode: MeasuredMode,
  size: ClusterSize,
  { rounds, changes, begin }: Effort,
): Promise<BackendTimes> {
  const cluster = new PlannedCluster(size);
  const recording = new Recording();
  using backend = constructors[mode](recording);
  begin("first programming");
  const programmed = await measureFirst(mode, backend, cluster, recording, rounds);
  begin("reconcile");
  await backend.reconcile(cluster.desired);
  const unchanged = await timeOf(() => backend.reconcile(cluster.desired));
  begin("changes");
  const changed = await measureChanges(backend, cluster, recording, changes);
  const services = await measureServices(backend, cluster, Math.ceil(changes / 5));
  const hundredChanges = await measureHundred(backend, cluster);
  begin("restart and repair");
  let restart;
  {
    using restarted = constructors[mode](recording);
    restart = await timeOf(() => restarted.reconcile(cluster.desired));
  }
  await flush[mode](cluster);
  const repair = await timeOf(() => backend.reconcile(cluster.desired));
  await flush[mode](cluster);
  const { planning } = cluster;
  return { planning, ...programmed, unchanged, restart, repair, ...changed, ...services, hundredChanges };
}

async function measureFirst(
  mode: MeasuredMode,
  backend: Backend,
  cluster: PlannedCluster,
  recording: Recording,
  rounds: number,
) {
  // What is done once comes before: questions whether the kernel can do what is needed.
  await backend.reconcile(cluster.desired);
  await flush[mode](cluster);
  recording.isOn = true;
  await backend.reconcile(cluster.desired);
  recording.isOn = false;
  const changes = recording.take();
  const first: number[] = [];
  const prepared: number[] = [];
  const inKernel = { first: [] as number[], prepared: [] as number[] };
  for (let round = 0; round < rounds; round++) {
    await flush[mode](cluster);
    inKernel.prepared.push(await kernelTimeOf(async () => prepared.push(await sendPrepared(changes))));
    await flush[mode](cluster);
    inKernel.first.push(
      await kernelTimeOf(async () => first.push(await timeOf(() => backend.reconcile(cluster.desired)))),
    );
  }
  return {
    first: median(first),
    firstPrepared: median(prepared),
    firstInKernel: median(inKernel.first),
    firstPreparedInKernel: median(inKernel.prepared),
    batchBytes: changes.reduce((sum, { bytes }) => sum + bytes.length, 0),
  };
}

async function measureChanges(
  backend: Backend,
  cluster: PlannedCluster,
  recording: Recording,
  changes: number,
) {
  const change: number[] = [];
  const changePrepared: number[] = [];
  for (let n = 0; n < changes; n++) {
    const less = cluster.endpointRemoved(n);
    await settle();
    recording.isOn = true;
    change.push(await timeOf(() => backend.apply([less])));
    const there = recording.take();
    await backend.apply([undone(less)]);
    const back = recording.take();
    recording.isOn = false;
    await settle();
    changePrepared.push(await sendPrepared(there));
    await sendPrepared(back);
  }
  return { change, changePrepared };
}

async function measureServices(backend: Backend, cluster: PlannedCluster, count: number) {
  const serviceAdded: number[] = [];
  const serviceRemoved: number[] = [];
  for (let n = 0; n < count; n++) {
    const more = cluster.serviceAdded(n);
    await settle();
    serviceAdded.push(await timeOf(() => backend.apply([more])));
    await settle();
    serviceRemoved.push(await timeOf(() => backend.apply([undone(more)])));
  }
  return { serviceAdded, serviceRemoved };
}

async function measureHundred(backend: Backend, cluster: PlannedCluster): Promise<readonly number[]> {
  const times: number[] = [];
  for (let round = 0; round < 5; round++) {
    const changes = Array.from({ length: 100 }, (_, n) => cluster.endpointRemoved(round * 100 + n));
    await settle();
    times.push(await timeOf(() => backend.apply(changes)));
    await backend.apply(changes.map(undone));
  }
  return times;
}

/** What a transaction has removed is destroyed after it, and the next one may have to wait for that. */
function settle(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 50));
}

async function timeOf(work: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await work();
  return performance.now() - started;
}

async function kernelTimeOf(work: () => Promise<unknown>): Promise<number> {
  const started = kernelTime();
  await work();
  return kernelTime() - started;
}

/** Removes everything of a mode from this network namespace; the device of mode ipvs stays, what is recorded knows it. */
const flush: Readonly<Record<MeasuredMode, (cluster: PlannedCluster) => Promise<void>>> = {
  nftables: flushRuleset,
  iptables: flushRuleset,
  ipvs: async (cluster) => {
    await flushRuleset();
    await flushServers(cluster);
    await run("ip", "address", "flush", "dev", "kube-ipvs0");
  },
};

async function flushRuleset(): Promise<void> {
  await run("nft", "flush", "ruleset");
}
