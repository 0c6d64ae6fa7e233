import type { PlanKey } from "../../../../core/plan/plan.ts";
import type { BackendProcess } from "../../support/backend_process.ts";

export interface CountedTraffic {
  readonly connections: number;
  /** Translated packets of both directions. */
  readonly packets: number;
}

/** Reads the counters of a service port from the backend's metrics. */
export async function countedTraffic(backend: BackendProcess, key: PlanKey): Promise<CountedTraffic> {
  const metrics = await backend.metrics();
  const sum = (name: string) => {
    const samples = metrics.find((metric) => metric.name === name)?.samples ?? [];
    return samples.filter(({ labels }) => labels.slice(0, 3).join("/") === key)
      .reduce((total, { value }) => total + value, 0);
  };
  return { connections: sum("ebpf_connections_total"), packets: sum("ebpf_packets_total") };
}
