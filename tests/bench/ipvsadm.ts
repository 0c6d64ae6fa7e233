import type { BackendTimes, Effort } from "./backend.ts";
import { flushServers } from "./flush_servers.ts";
import { run } from "./run_command.ts";
import { clusterIP, type ClusterSize, endpointIP } from "./cluster.ts";
import { atLeast, distribution, type Figure, median, milliseconds } from "./report.ts";

/** Milliseconds, from the start of each process to its end. */
export interface IpvsadmTimes {
  /** Makes all virtual and real servers, and nothing of what else mode ipvs needs. */
  readonly everything: readonly number[];
  /** Removes one real server, or adds it again. */
  readonly change: readonly number[];
}

/** What `ipvsadm -R` takes for the same virtual and real servers as mode ipvs has for a cluster. */
export async function measureIpvsadm(
  size: ClusterSize,
  { rounds, changes, begin }: Effort,
): Promise<IpvsadmTimes> {
  begin("ipvsadm");
  const file = await Deno.makeTempFile();
  try {
    const services = Array.from({ length: size.services }, (_, service) => linesOf(service, size).join(""));
    await Deno.writeTextFile(file, services.join(""));
    const everything: number[] = [];
    for (let round = 0; round < rounds; round++) {
      await flushServers(size);
      everything.push(await restore(file));
    }
    const change: number[] = [];
    for (let n = 0; n < changes; n++) {
      const service = (n * 7919) % size.services;
      const [, added = ""] = linesOf(service, size);
      const removed = added.replace("-a", "-d").replace(/ -m.*/, "");
      for (const line of [removed, added]) {
        await Deno.writeTextFile(file, line);
        change.push(await restore(file));
      }
    }
    await flushServers(size);
    return { everything, change };
  } finally {
    await Deno.remove(file);
  }
}

export function ipvsadmFigures({ everything, change }: IpvsadmTimes, times: BackendTimes): readonly Figure[] {
  const ratio = (theirs: readonly number[], ours: number) => median(theirs) / ours;
  const changedByAll = ratio(everything, median(times.change));
  const changedByOne = ratio(change, median(times.change));
  return [
    { what: "ipvsadm -R of everything", value: milliseconds(median(everything)) },
    {
      what: "first programming, which has addresses and tables, too",
      value: `${ratio(everything, times.first).toFixed(2)} times as fast`,
    },
    {
      what: "one endpoint changed, beside ipvsadm -R of everything",
      value: `${changedByAll.toFixed(0)} times as fast`,
      bar: atLeast(changedByAll, 5, "times as fast"),
    },
    { what: "ipvsadm -R of one line that changes an endpoint", value: distribution(change) },
    {
      what: "one endpoint changed, beside that",
      value: `${changedByOne.toFixed(1)} times as fast`,
    },
  ];
}

/** As `ipvsadm -S` writes them: that of the virtual server is the first. */
function linesOf(service: number, size: ClusterSize): string[] {
  const virtual = `-t ${clusterIP(service)}:80`;
  const reals = Array.from({ length: size.endpoints }, (_, endpoint) => endpointIP(service, endpoint, size));
  return [`-A ${virtual} -s rr\n`, ...reals.map((address) => `-a ${virtual} -r ${address}:8080 -m -w 1\n`)];
}

/** `ipvsadm -R`. @returns how long it took. */
async function restore(file: string): Promise<number> {
  const started = performance.now();
  await run("sh", "-c", `exec ipvsadm -R <"${file}"`);
  return performance.now() - started;
}
