import type { IpvsCommand } from "../../../backends/ipvs/protocol/encode.ts";
import { IpvsConnection } from "../../../backends/ipvs/protocol/connection.ts";
import { type BalancedServer, compile } from "../../../backends/ipvs/compile.ts";
import { defaultOptions } from "../../backends/ipvs/options.ts";
import type { PlannedCluster } from "../planned_cluster.ts";

/**
 * Removes all virtual servers. The kernel remembers removed real servers for two minutes, and searches all of them for
 * each real server that is added (ip_vs_trash_get_dest). After `ipvsadm -C` of a large cluster, this search would
 * dominate the measurement. So real servers are removed in the reverse order of their addition, in which the kernel
 * finds each of them at once.
 */
export async function flushServers(cluster: PlannedCluster): Promise<void> {
  using connection = await IpvsConnection.open();
  await connection.perform(removals(cluster));
  await connection.flush();
}

function* removals(cluster: PlannedCluster): Generator<IpvsCommand> {
  for (const server of balancedServers(cluster).toReversed()) {
    for (const realServer of server.realServers.toReversed()) {
      yield { verb: "remove real", server, realServer };
    }
  }
}

/** Virtual servers with their real servers, in the order in which mode ipvs adds them. */
export function balancedServers({ desired }: PlannedCluster): readonly BalancedServer[] {
  return desired.settings.flatMap((settings) =>
    desired.plans.values().toArray().flatMap((plan) => compile(plan, settings, defaultOptions).servers)
  );
}
