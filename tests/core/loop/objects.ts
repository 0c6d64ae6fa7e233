import { type Address, parseAddress } from "../../../core/model/address.ts";
import type { EndpointSlice, Service } from "../../../core/model/objects.ts";
import type { NodeView } from "../../../core/loop/planning.ts";
import { loopback } from "../../../core/model/address.ts";

/** Objects for the tests of planning and loop, with what does not matter left at its default. */

export function address(text: string): Address {
  const parsed = parseAddress(text);
  if (parsed === undefined) throw new Error(`${text} is no address`);
  return parsed;
}

export function service(name: string, clusterIP: string, fields: Partial<Service> = {}): Service {
  return {
    kind: "Service",
    namespace: "default",
    name,
    created: "",
    clusterIPs: [address(clusterIP)],
    ports: [{ name: "", protocol: "TCP", port: 80, nodePort: 0 }],
    externalIPs: [],
    loadBalancerIPs: [],
    loadBalancerSourceRanges: [],
    affinitySeconds: 0,
    externalTrafficPolicy: "Cluster",
    internalTrafficPolicy: "Cluster",
    healthCheckNodePort: 0,
    ...fields,
  };
}

export function slice(of: string, ...endpoints: readonly string[]): EndpointSlice {
  return {
    kind: "EndpointSlice",
    namespace: "default",
    name: `${of}-1`,
    service: of,
    family: "IPv4",
    ports: [{ name: "", protocol: "TCP", port: 8080 }],
    endpoints: endpoints.map((text) => ({
      address: address(text),
      traits: { ready: true, serving: true, terminating: false, nodeName: "", zoneHints: [], nodeHints: [] },
    })),
    triggerTime: 0,
  };
}

export const view: NodeView = {
  context: { families: ["IPv4"], nodeName: "here", zone: "", nodeAddresses: loopback },
  settings: [{
    family: "IPv4",
    localTraffic: { mode: "none" },
    masqueradeAll: false,
    masqueradeMark: 0x4000,
    nodePorts: "all",
    serviceCidrs: [],
  }],
};
