import type { IpvsCommand } from "../../backends/ipvs/codec.ts";
import { IpvsConnection } from "../../backends/ipvs/connection.ts";
import { real, virtual } from "../backends/ipvs/servers.ts";
import { clusterIP, type ClusterSize, endpointIP } from "./cluster.ts";

/**
 * Removes all virtual servers. The kernel remembers real servers for two minutes, and looks through those it remembers
 * for each that is added (ip_vs_trash_get_dest): after `ipvsadm -C` of a large cluster it would be measured in this
 * alone. So they go in the order that makes it find each at once: the first one to come is the last one to go.
 */
export async function flushServers(size: ClusterSize): Promise<void> {
  using connection = await IpvsConnection.open();
  await connection.perform(removals(size));
  await connection.flush();
}

function* removals(size: ClusterSize): Generator<IpvsCommand> {
  for (let service = size.services - 1; service >= 0; service--) {
    const server = virtual(`${clusterIP(service)}:80/TCP`);
    for (let endpoint = size.endpoints - 1; endpoint >= 0; endpoint--) {
      yield { verb: "remove real", server, realServer: real(`${endpointIP(service, endpoint, size)}:8080`) };
    }
  }
}
