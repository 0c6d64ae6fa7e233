import { ApiServer } from "../core/kube/api_server.ts";
import { clusterIP, type ClusterSize } from "./cluster.ts";
import type { Contender } from "./contenders.ts";
import { Marker, pause } from "./marker.ts";
import { fill } from "./process.ts";
import { milliseconds } from "./report.ts";
import { Running } from "./running.ts";

/** Time for garbage to have been collected, before the resident memory is read. */
const SETTLE_MS = 6000;

/** Of one contender in all rounds; times in milliseconds, memory in MB of 1,000,000 bytes. */
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

export interface Rules {
  readonly rounds: number;
  /** In each round. */
  readonly changes: number;
  /** Who takes longer for the first programming is stopped, and the rest of the round is not measured. */
  readonly limitMs: number;
  readonly flush: () => Promise<void>;
}

/** Two contenders by turns in this network namespace, fed by the same API server. */
export async function contest(
  size: ClusterSize,
  rules: Rules,
  contenders: (server: string) => readonly [Contender, Contender],
): Promise<readonly [Measurements, Measurements]> {
  await using server = new ApiServer();
  server.behaviour.bookmarkInterval = 60_000;
  fill(server, size);
  using marker = new Marker(server, clusterIP(size.services + 256));
  const [theirs, ours] = contenders(server.url);
  const measured = [new Measurements(theirs.name), new Measurements(ours.name)] as const;
  for (let round = 1; round <= rules.rounds; round++) {
    for (const [contender, of] of [[theirs, measured[0]], [ours, measured[1]]] as const) {
      await measure(contender, marker, rules, of);
      console.log(`  round ${round}, ${contender.name}: in force after ${lastOf(of.first, rules)}`);
    }
  }
  return measured;
}

async function measure(
  contender: Contender,
  marker: Marker,
  { changes, limitMs, flush }: Rules,
  of: Measurements,
): Promise<void> {
  marker.pointTo(0);
  {
    const started = performance.now();
    await using proxy = new Running(contender.command, contender.env);
    const isInForce = await Promise.race([marker.reached(0, limitMs), proxy.failure]) < Infinity;
    of.first.push(isInForce ? performance.now() - started : Infinity);
    if (isInForce) {
      await pause(SETTLE_MS);
      of.resident.push(proxy.memory.now());
      of.cpu.push(proxy.cpu);
      for (let change = 1; change <= changes; change++) {
        await pause(contender.restMs);
        const pod = change % 2 === 0 ? 0 : 1;
        marker.pointTo(pod);
        of.change.push(await Promise.race([marker.reached(pod, limitMs), proxy.failure]));
      }
    }
    of.peak.push(proxy.memory.peak());
  }
  if (of.first.at(-1) !== Infinity) {
    // While none runs something changes; the next has to find it, with the rules of the last one in the kernel.
    const pod = changes % 2 === 0 ? 1 : 0;
    marker.pointTo(pod);
    await using proxy = new Running(contender.command, contender.env);
    of.restart.push(await Promise.race([marker.reached(pod, limitMs), proxy.failure]));
  }
  await flush();
}

function lastOf(times: readonly number[], { limitMs }: Rules): string {
  const last = times.at(-1) ?? NaN;
  return last === Infinity ? `more than ${milliseconds(limitMs)}` : milliseconds(last);
}
