import { ApiServer } from "../../core/kube/api/api_server.ts";
import { clusterIP, type ClusterSize } from "../cluster.ts";
import type { Subject } from "./subjects.ts";
import { Marker, pause } from "./marker.ts";
import { fill } from "../process/measure.ts";
import { milliseconds } from "../report.ts";
import { RunningProcess } from "../process/running_process.ts";

/** Time for garbage collection before the resident memory is read. */
const SETTLE_MS = 6000;

/** Measurements of one subject in all rounds. Times are in milliseconds, memory is in MB of 1,000,000 bytes. */
export class Measurements {
  readonly name: string;
  readonly first: number[] = [];
  readonly cpu: number[] = [];
  readonly restart: number[] = [];
  readonly change: number[] = [];
  readonly resident: number[] = [];
  readonly peak: number[] = [];

  constructor(name: string) {
    this.name = name;
  }
}

export interface ComparisonOptions {
  readonly rounds: number;
  /** Number of changes per round. */
  readonly changes: number;
  /** A subject that takes longer for the first programming is stopped; the rest of the round is not measured. */
  readonly limitMs: number;
  /** Removes the rules of a subject. */
  readonly flush: () => Promise<void>;
}

/** Measures kube-proxy and this proxy alternately in this network namespace, with the same API server. */
export async function compare(
  size: ClusterSize,
  options: ComparisonOptions,
  subjects: (server: string) => readonly [kubeProxy: Subject, proxy: Subject],
): Promise<readonly [kubeProxy: Measurements, proxy: Measurements]> {
  await using server = new ApiServer();
  server.behaviour.bookmarkInterval = 60_000;
  fill(server, size);
  using marker = new Marker(server, clusterIP(size.services + 256));
  const [kubeProxy, proxy] = subjects(server.url);
  const measured = [new Measurements(kubeProxy.name), new Measurements(proxy.name)] as const;
  for (let round = 1; round <= options.rounds; round++) {
    for (const [subject, measurements] of [[kubeProxy, measured[0]], [proxy, measured[1]]] as const) {
      await measure(subject, marker, options, measurements);
      console.log(
        `  round ${round}, ${subject.name}: in force after ${lastTime(measurements.first, options)}`,
      );
    }
  }
  return measured;
}

async function measure(
  subject: Subject,
  marker: Marker,
  { changes, limitMs, flush }: ComparisonOptions,
  measurements: Measurements,
): Promise<void> {
  marker.pointTo(0);
  {
    const started = performance.now();
    await using proxy = new RunningProcess(subject.command, subject.env);
    const isInForce = await Promise.race([marker.reached(0, limitMs), proxy.failure]) < Infinity;
    measurements.first.push(isInForce ? performance.now() - started : Infinity);
    if (isInForce) {
      await pause(SETTLE_MS);
      measurements.resident.push(proxy.memory.now());
      measurements.cpu.push(proxy.cpu);
      for (let change = 1; change <= changes; change++) {
        await pause(subject.changeIntervalMs);
        const pod = change % 2 === 0 ? 0 : 1;
        marker.pointTo(pod);
        measurements.change.push(await Promise.race([marker.reached(pod, limitMs), proxy.failure]));
      }
    }
    measurements.peak.push(proxy.memory.peak());
  }
  if (measurements.first.at(-1) !== Infinity) {
    // The change is made while no process runs. The next process starts with the rules of the previous one in the
    // kernel and has to apply the change.
    const pod = changes % 2 === 0 ? 1 : 0;
    marker.pointTo(pod);
    await using proxy = new RunningProcess(subject.command, subject.env);
    measurements.restart.push(await Promise.race([marker.reached(pod, limitMs), proxy.failure]));
  }
  await flush();
}

function lastTime(times: readonly number[], { limitMs }: ComparisonOptions): string {
  const last = times.at(-1) ?? NaN;
  return last === Infinity ? `more than ${milliseconds(limitMs)}` : milliseconds(last);
}
