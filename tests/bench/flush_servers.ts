import type { IpvsCommand } from "../../backends/ipvs/protocol/encode.ts";
import { IpvsConnection } from "../../backends/ipvs/protocol/connection.ts";
import { type BalancedServer, compile } from "../../backends/ipvs/compile.ts";
import { defaultOptions } from "../backends/ipvs/options.ts";
import type { PlannedCluster } from "./planned_cluster.ts";

/**
 * Removes all virtual servers. The kernel remembers real servers for two minutes, and looks through those it remembers
 * for each that is added (ip_vs_trash_get_dest): after `ipvsadm -C` of a large cluster it would be measured in this
 * alone. So they go in the order that makes it find each at once: the first one to come is the last one to go.
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

/** In the order in which mode ipvs makes them. */
export function balancedServers({ desired }: PlannedCluster): readonly BalancedServer[] {
  return desired.settings.flatMap((settings) =>
    desired.plans.values().toArray().flatMap((plan) => compile(plan, settings, defaultOptions).servers)
  );
}
