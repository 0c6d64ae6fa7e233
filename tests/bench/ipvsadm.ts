import type { BalancedServer } from "../../backends/ipvs/compile.ts";
import { formatSocketAddress } from "../../core/net/address.ts";
import type { BackendTimes, Effort } from "./backend.ts";
import { balancedServers, flushServers } from "./flush_servers.ts";
import { run } from "./run_command.ts";
import type { PlannedCluster } from "./planned_cluster.ts";
import { atLeast, distribution, type Figure, median, milliseconds } from "./report.ts";

/** Milliseconds, from the start of each process to its end. */
export interface IpvsadmTimes {
  /** Makes all virtual and real servers, and nothing of what else mode ipvs needs. */
  readonly everything: readonly number[];
  /** Removes one real server, or adds it again. */
  readonly change: readonly number[];
}

/**
 * What `ipvsadm -R` takes for the same virtual and real servers as mode ipvs has for a cluster. There are none before,
 * nor after it.
 */
export async function measureIpvsadm(
  cluster: PlannedCluster,
  { rounds, changes, begin }: Effort,
): Promise<IpvsadmTimes> {
  begin("ipvsadm");
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
function linesOf({ address, port, realServers }: BalancedServer): string[] {
  const virtual = `-t ${formatSocketAddress(address, port)}`;
  return [
    `-A ${virtual} -s rr\n`,
    ...realServers.map((real) =>
      `-a ${virtual} -r ${formatSocketAddress(real.address, real.port)} -m -w 1\n`
    ),
  ];
}

/** `ipvsadm -R`. @returns how long it took. */
async function restore(file: string): Promise<number> {
  const started = performance.now();
  await run("sh", "-c", `exec ipvsadm -R <"${file}"`);
  return performance.now() - started;
}
