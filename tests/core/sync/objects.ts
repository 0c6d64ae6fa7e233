import type { NodeView } from "../../../core/sync/node_view.ts";
import type { EndpointSlice, Service } from "../../../core/objects/objects.ts";
import { address, aService, aSlice, here, webPort } from "../plan/builders.ts";

/** Services and slices by name, for tests with several of them. */

export function service(name: string, clusterIP: string, different: Partial<Service> = {}): Service {
  return aService({ name, created: "", clusterIPs: [address(clusterIP)], ports: [webPort], ...different });
}

export function slice(of: string, ...endpoints: readonly string[]): EndpointSlice {
  return aSlice(endpoints.map((at) => ({ at })), { name: `${of}-1`, service: of });
}

export const view: NodeView = {
  context: { ...here, families: ["IPv4"], zone: "" },
  settings: [{
    family: "IPv4",
    localTraffic: { mode: "none" },
    masqueradeAll: false,
    masqueradeMark: 0x4000,
    nodePorts: "all",
    interfaceAddresses: [],
    localhostNodePorts: false,
    trafficMetrics: "connections",
    serviceCidrs: [],
  }],
  nodePortAddresses: { IPv4: { isAll: true, addresses: [] }, IPv6: { isAll: true, addresses: [] } },
  gaps: [],
};
