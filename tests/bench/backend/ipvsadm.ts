import type { BalancedServer } from "../../../backends/ipvs/compile.ts";
import { formatSocketAddress } from "../../../core/net/address.ts";
import type { BackendTimes, BenchmarkOptions } from "./measure.ts";
import { balancedServers, flushServers } from "./flush_servers.ts";
import { run } from "./run_command.ts";
import type { PlannedCluster } from "../planned_cluster.ts";
import { atLeast, distribution, type Figure, median, milliseconds } from "../report.ts";

/** Times in milliseconds, from the start of each process to its end. */
export interface IpvsadmTimes {
  /** Addition of all virtual and real servers, without the addresses and rules that mode ipvs also needs. */
  readonly everything: readonly number[];
  /** Removal of one real server, or its addition. */
  readonly change: readonly number[];
}

/**
 * Measures `ipvsadm -R` with the virtual and real servers that mode ipvs has for a cluster. There must be no virtual
 * servers before; there are none after.
 */
export async function measureIpvsadm(
  cluster: PlannedCluster,
  { rounds, changes, onStage }: BenchmarkOptions,
): Promise<IpvsadmTimes> {
  onStage("ipvsadm");
  const file = await Deno.makeTempFile();
  try {
    const servers = balancedServers(cluster);
    await Deno.writeTextFile(file, servers.flatMap(linesOf).join(""));
    const everything: number[] = [];
    for (let round = 0; round < rounds; round++) {
      if (round > 0) await flushServers(cluster);
      everything.push(await restore(file));
    }
    const change: number[] = [];
    for (let n = 0; n < changes; n++) {
      const at = (n * 7919) % servers.length;
      const [, added = ""] = servers.slice(at, at + 1).flatMap(linesOf);
      const removed = added.replace("-a", "-d").replace(/ -m.*/, "");
      for (const line of [removed, added]) {
        await Deno.writeTextFile(file, line);
        change.push(await restore(file));
      }
    }
    await flushServers(cluster);
    return { everything, change };
  } finally {
    await Deno.remove(file);
  }
}

export function ipvsadmFigures({ everything, change }: IpvsadmTimes, times: BackendTimes): readonly Figure[] {
  const ratio = (ipvsadm: readonly number[], proxy: number) => median(ipvsadm) / proxy;
  const ratioToEverything = ratio(everything, median(times.change));
  const ratioToChange = ratio(change, median(times.change));
  return [
    { name: "ipvsadm -R of everything", value: milliseconds(median(everything)) },
    {
      name: "first programming, including addresses and tables",
      value: `${ratio(everything, times.first).toFixed(2)} times as fast`,
    },
    {
      name: "one endpoint changed, compared with ipvsadm -R of everything",
      value: `${ratioToEverything.toFixed(0)} times as fast`,
      target: atLeast(ratioToEverything, 5, "times as fast"),
    },
    { name: "ipvsadm -R of the one line that changes an endpoint", value: distribution(change) },
    {
      name: "one endpoint changed, compared with ipvsadm -R of the one line",
      value: `${ratioToChange.toFixed(1)} times as fast`,
    },
  ];
}

/** Lines in the format of `ipvsadm -S`; the line of the virtual server comes first. */
function linesOf({ address, port, realServers }: BalancedServer): string[] {
  const virtual = `-t ${formatSocketAddress(address, port)}`;
  return [
    `-A ${virtual} -s rr\n`,
    ...realServers.map((real) =>
      `-a ${virtual} -r ${formatSocketAddress(real.address, real.port)} -m -w 1\n`
    ),
  ];
}

/** Runs `ipvsadm -R`. Returns the time in milliseconds. */
async function restore(file: string): Promise<number> {
  const started = performance.now();
  await run("sh", "-c", `exec ipvsadm -R <"${file}"`);
  return performance.now() - started;
}
