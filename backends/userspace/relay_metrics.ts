import type { BackendMetric } from "../../core/backend/contract.ts";
import type { RelayState } from "../../core/backend/follower.ts";
import type { RelayReport } from "./relay/messages.ts";
import type { Totals } from "./relay_totals.ts";

/** The relay's connections, for the status. */
export function relayStateOf(report: RelayReport, { retries, failures }: Totals): RelayState {
  const { openConnections, udpFlows, avoidedEndpoints } = report;
  return { openConnections, udpFlows, retries, failures, avoidedEndpoints: avoidedEndpoints.length };
}

/** The relay's counters as metrics: sums over all services, because each retry names its endpoint in the log. */
export function relayMetrics(report: RelayReport, { retries, failures, refused }: Totals): BackendMetric[] {
  const { openConnections, udpFlows, avoidedEndpoints } = report;
  return [
    counter(
      "userspace_retries_total",
      "Attempts to connect to another endpoint after one had failed",
      retries,
    ),
    counter(
      "userspace_failed_connections_total",
      "Connections that failed because no endpoint answered",
      failures,
    ),
    counter(
      "userspace_refused_connections_total",
      "Connections reset because of a limit or for lack of endpoints",
      refused,
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
