import type { ServiceTraffic } from "../../../core/backend/traffic.ts";
import type { NodeSettings, PlanKey, ServicePortPlan } from "../../../core/plan/plan.ts";
import { addressKey } from "../../nf_tables/set/keys.ts";
import { assignCounters, type Counters } from "../../nf_tables/traffic/assign.ts";
import type { Statistics, VirtualServerId } from "./virtual_server.ts";

/**
 * Assigns the statistics of virtual servers to the service ports whose frontends they are. IPVS counts no refused
 * connections.
 * @param families the families to count, with their settings.
 */
export async function trafficOf(
  statistics: readonly (readonly [VirtualServerId, Statistics])[],
  families: readonly { readonly settings: Pick<NodeSettings, "family" | "trafficMetrics"> }[],
  plans: ReadonlyMap<PlanKey, ServicePortPlan>,
): Promise<readonly ServiceTraffic[]> {
  const services: ServiceTraffic[] = [];
  for (const { settings } of families) {
    const counters = new Map<string, Counters>();
    for (const [server, { connections, ...volumes }] of statistics) {
      if (server.family !== settings.family || connections === 0) continue;
      const key = addressKey(server.address, server.protocol, server.port);
      counters.set(key, { connections, ...settings.trafficMetrics === "full" ? volumes : {}, refused: {} });
    }
    const own = () => plans.values().filter(({ family }) => family === settings.family);
    services.push(...(await assignCounters(counters, own)).services);
  }
  return services;
}
