import type { ServiceTraffic } from "../../../../core/backend/traffic.ts";
import type { PlanKey } from "../../../../core/plan/plan.ts";
import type { BackendProcess } from "../../support/backend_process.ts";

export interface CountedTraffic {
  readonly connections: number;
  /** Translated packets of both directions. */
  readonly packets: number;
}

/** Reads the counters of a service port at all its frontends. Packets are counted with `trafficMetrics` full only. */
export async function countedTraffic(backend: BackendProcess, key: PlanKey): Promise<CountedTraffic> {
  const { services } = await backend.traffic();
  const own = services.filter((service) => service.key === key);
  const sum = (count: (service: ServiceTraffic) => number) =>
    own.reduce((total, service) => total + count(service), 0);
  return {
    connections: sum(({ connections }) => connections),
    packets: sum(({ toEndpoints, fromEndpoints }) =>
      (toEndpoints?.packets ?? 0) + (fromEndpoints?.packets ?? 0)
    ),
  };
}
