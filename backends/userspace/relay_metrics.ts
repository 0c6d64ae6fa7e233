import type { BackendMetric } from "../../core/backend/contract.ts";
import type { RelayReport } from "./relay/messages.ts";

/** The relay's counters as metrics: sums over all services, because each retry names its endpoint in the log. */
export function relayMetrics(
  { services, openConnections, udpFlows, avoidedEndpoints }: RelayReport,
): BackendMetric[] {
  const total = (of: "retries" | "failures" | "refused") =>
    services.reduce((sum, counters) => sum + counters[of], 0);
  return [
    counter(
      "userspace_retries_total",
      "Attempts to connect to another endpoint after one had failed",
      total("retries"),
    ),
    counter(
      "userspace_failed_connections_total",
      "Connections that failed because no endpoint answered",
      total("failures"),
    ),
    counter(
      "userspace_refused_connections_total",
      "Connections reset because of a limit or for lack of endpoints",
      total("refused"),
    ),
    gauge("userspace_open_connections", "TCP connections that are open", openConnections),
    gauge("userspace_udp_flows", "UDP flows that are open", udpFlows),
    gauge(
      "userspace_avoided_endpoints",
      "Endpoints that get no connections because they have failed",
      avoidedEndpoints.length,
    ),
  ];
}

function counter(name: string, help: string, value: number): BackendMetric {
  return metric(name, help, "counter", value);
}

function gauge(name: string, help: string, value: number): BackendMetric {
  return metric(name, help, "gauge", value);
}

function metric(name: string, help: string, type: BackendMetric["type"], value: number): BackendMetric {
  return { name, help, type, labels: [], samples: [{ labels: [], value }] };
}
