import { servedPorts } from "../lab/topology.ts";
import type { EndpointsSpec, ServiceSpec } from "./scenario.ts";

/** Published beside a change, it tells when the change is in force: then `port` is answered from `targetPort`. */
export interface Marker {
  readonly port: number;
  readonly targetPort: number;
  readonly service: ServiceSpec;
  readonly endpoints: EndpointsSpec;
}

let made = 0;

/** Differs from the last one in its Service and in its endpoints, which may come to the proxy by different ways. */
export function nextMarker(): Marker {
  made++;
  const port = 20_000 + made % 10_000;
  const targetPort = servedPorts[made % servedPorts.length]!;
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
