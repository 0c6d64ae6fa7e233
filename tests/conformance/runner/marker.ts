import { servedPorts } from "../../lab/topology.ts";
import type { EndpointsSpec, ServiceSpec } from "../format/scenario.ts";

/**
 * A service that is published together with a change and shows when the change is in force: from then on, connections
 * to `port` are answered from `targetPort`.
 */
export interface Marker {
  readonly port: number;
  readonly targetPort: number;
  readonly service: ServiceSpec;
  readonly endpoints: EndpointsSpec;
}

let count = 0;

/**
 * Makes a marker whose Service and endpoints both differ from the previous one, because the proxy may receive Services
 * and endpoints independently.
 */
export function nextMarker(): Marker {
  count++;
  const port = 20_000 + count % 10_000;
  const targetPort = servedPorts[count % servedPorts.length]!;
  return {
    port,
    targetPort,
    service: {
      name: "marker",
      type: "ClusterIP",
      ports: [{ name: "", port, protocol: "TCP", targetPort }],
      externalIP: false,
      labels: {},
    },
    endpoints: {
      of: "marker",
      slice: "1",
      ready: [{ pod: "pod-a" }],
      terminating: [],
      notReady: [],
      labels: {},
    },
  };
}
