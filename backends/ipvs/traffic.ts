import type { PlanKey } from "../../core/plan/plan.ts";
import type { TrafficCounters } from "../../core/backend/contract.ts";
import type { FoundVirtualServer, VirtualServerId } from "./servers/virtual_server.ts";

/** What IPVS counted, of all frontends of a service port together and both ways. */
export function trafficOf(
  servers: Iterable<FoundVirtualServer>,
  ownerOf: (server: VirtualServerId) => PlanKey | undefined,
): ReadonlyMap<PlanKey, TrafficCounters> {
  const counters = new Map<PlanKey, TrafficCounters>();
  for (const server of servers) {
    const owner = ownerOf(server);
    if (owner === undefined) continue;
    const { connections, packetsIn, packetsOut, bytesIn, bytesOut } = server.traffic;
    const sum = counters.get(owner) ?? none;
    counters.set(owner, {
      connections: sum.connections + connections,
      packets: sum.packets + packetsIn + packetsOut,
      bytes: sum.bytes + bytesIn + bytesOut,
    });
  }
  return counters;
}

const none: TrafficCounters = { connections: 0, packets: 0, bytes: 0 };
