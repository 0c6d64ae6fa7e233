import type { Backend } from "../../../core/backend/contract.ts";
import { IptablesBackend } from "../../../backends/iptables/backend.ts";
import { NftablesBackend } from "../../../backends/nftables/backend.ts";
import { IpvsBackend } from "../../../backends/ipvs/backend.ts";
import { defaultOptions } from "../../backends/ipvs/options.ts";
import type { ClusterSize } from "../cluster.ts";
import { kernelTime } from "./kernel_time.ts";
import type { MeasuredMode } from "../mode.ts";
import { PlannedCluster, reversed } from "../planned_cluster.ts";
import { median } from "../report.ts";
import { run } from "./run_command.ts";
import { flushServers } from "./flush_servers.ts";
import { Recorder, sendPrepared } from "./recorder.ts";

const constructors: Readonly<Record<MeasuredMode, (recorder: Recorder) => Backend>> = {
  nftables: ({ open }) => new NftablesBackend(open),
  iptables: ({ open }) => new IptablesBackend(open),
  ipvs: ({ open }) => new IpvsBackend(defaultOptions, open),
};

/**
 * Times in milliseconds. A "prepared" time is the kernel share: the time of the same bytes, recorded and sent again.
 */
export interface BackendTimes {
  readonly planning: number;
  /** First programming, median of all rounds. */
  readonly first: number;
  readonly firstPrepared: number;
  /** Part of `first` that is spent in the kernel, median of all rounds. */
  readonly firstInKernel: number;
  readonly firstPreparedInKernel: number;
  readonly batchBytes: number;
  /** Reconcile with no differences. */
  readonly unchanged: number;
  /** Reconcile by a new backend, as after a restart. */
  readonly restart: number;
  /** Reconcile after all rules were flushed. */
  readonly repair: number;
  /** Removal of one endpoint. */
  readonly change: readonly number[];
  readonly changePrepared: readonly number[];
  readonly serviceAdded: readonly number[];
  readonly serviceRemoved: readonly number[];
  /** Removal of a hundred endpoints in one transaction. */
  readonly hundredChanges: readonly number[];
}

export interface BenchmarkOptions {
  /** Number of first programmings. */
  readonly rounds: number;
  /** Number of consecutive changes. */
  readonly changes: number;
  /** Called at the start of each stage, to show progress. */
  readonly onStage: (stage: string) => void;
}

/** Measures a backend in this process, without the rest of the program. */
export async function measureBackend(
  mode: MeasuredMode,
  size: ClusterSize,
  { rounds, changes, onStage }: BenchmarkOptions,
): Promise<BackendTimes> {
  const cluster = new PlannedCluster(size);
  const recorder = new Recorder();
  using backend = constructors[mode](recorder);
  onStage("first programming");
  const programmed = await measureFirst(mode, backend, cluster, recorder, rounds);
  onStage("reconcile");
  await backend.reconcile(cluster.desired);
  const unchanged = await timeOf(() => backend.reconcile(cluster.desired));
  onStage("changes");
  const changed = await measureChanges(backend, cluster, recorder, changes);
  const services = await measureServices(backend, cluster, Math.ceil(changes / 5));
  const hundredChanges = await measureHundred(backend, cluster);
  onStage("restart and repair");
  let restart;
  {
    using restarted = constructors[mode](recorder);
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
  recorder: Recorder,
  rounds: number,
) {
  // The first reconcile also probes kernel features, once per backend. Run it once before measuring.
  await backend.reconcile(cluster.desired);
  await flush[mode](cluster);
  recorder.isOn = true;
  await backend.reconcile(cluster.desired);
  recorder.isOn = false;
  const changes = recorder.take();
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
  recorder: Recorder,
  changes: number,
) {
  const change: number[] = [];
  const changePrepared: number[] = [];
  for (let n = 0; n < changes; n++) {
    const removal = cluster.endpointRemoved(n);
    await settle();
    recorder.isOn = true;
    change.push(await timeOf(() => backend.apply([removal])));
    const removalMessages = recorder.take();
    await backend.apply([reversed(removal)]);
    const additionMessages = recorder.take();
    recorder.isOn = false;
    await settle();
    changePrepared.push(await sendPrepared(removalMessages));
    await sendPrepared(additionMessages);
  }
  return { change, changePrepared };
}

async function measureServices(backend: Backend, cluster: PlannedCluster, count: number) {
  const serviceAdded: number[] = [];
  const serviceRemoved: number[] = [];
  for (let n = 0; n < count; n++) {
    const addition = cluster.serviceAdded(n);
    await settle();
    serviceAdded.push(await timeOf(() => backend.apply([addition])));
    await settle();
    serviceRemoved.push(await timeOf(() => backend.apply([reversed(addition)])));
  }
  return { serviceAdded, serviceRemoved };
}

async function measureHundred(backend: Backend, cluster: PlannedCluster): Promise<readonly number[]> {
  const times: number[] = [];
  for (let round = 0; round < 5; round++) {
    const changes = Array.from({ length: 100 }, (_, n) => cluster.endpointRemoved(round * 100 + n));
    await settle();
    times.push(await timeOf(() => backend.apply(changes)));
    await backend.apply(changes.map(reversed));
  }
  return times;
}

/** Waits until the kernel has freed the objects that a transaction removed; otherwise the next one may wait for it. */
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

/**
 * Removes all objects of a mode from this network namespace. The device of mode ipvs stays, because recorded messages
 * refer to it.
 */
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
