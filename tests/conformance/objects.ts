import type { Family } from "../../core/model/objects.ts";
import {
  at,
  type MachineName,
  machines,
  podCidrs,
  type ServiceRange,
  serviceRanges,
} from "../lab/topology.ts";
import type { EndpointSpec, EndpointsSpec, ServiceSpec } from "./scenario.ts";

/** The objects of a scenario at one moment, as the API server would show them. */

export interface KubernetesObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly [field: string]: unknown;
}

/** Addresses of the services of a scenario, in the order in which they are named. */
export class ServiceAddresses {
  // The first ten are left to the API server, which takes one for itself; the last is nobody's.
  readonly #numbers = new Map([["unallocated", 250]]);

  of(range: ServiceRange, service: string, family: Family): string {
    const number = this.#numbers.get(service) ?? 10 + this.#numbers.size;
    this.#numbers.set(service, number);
    return at(range, family, number);
  }
}

export function serviceObject(
  spec: ServiceSpec,
  families: readonly Family[],
  addresses: ServiceAddresses,
): KubernetesObject {
  const addressesOf = (range: ServiceRange, whose: string | boolean | undefined) =>
    whose ? families.map((family) => addresses.of(range, whose === true ? spec.name : whose, family)) : [];
  const isExternalName = spec.type === "ExternalName";
  const isHeadless = spec.clusterIP === "None";
  const clusterIPs = isExternalName
    ? []
    : isHeadless
    ? ["None"]
    : addressesOf("clusterIP", spec.clusterIP ?? true);
  const loadBalancerIPs = addressesOf("loadBalancer", spec.loadBalancerIP ?? spec.type === "LoadBalancer");
  const ranges = spec.sourceRanges?.flatMap((range) => sourceRanges(range, families));
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: {
      name: spec.name,
      namespace: "default",
      labels: spec.labels,
      ...(spec.created ? { creationTimestamp: spec.created } : {}),
    },
    spec: {
      type: spec.type,
      ...(isExternalName ? { externalName: "example.org" } : {
        clusterIP: clusterIPs[0],
        clusterIPs,
        ipFamilies: families,
        ipFamilyPolicy: families.length > 1 ? "RequireDualStack" : "SingleStack",
        internalTrafficPolicy: spec.internalTrafficPolicy ?? "Cluster",
      }),
      ports: spec.ports,
      externalIPs: addressesOf("external", spec.externalIP),
      ...(ranges ? { loadBalancerSourceRanges: ranges } : {}),
      ...(spec.affinity === undefined ? { sessionAffinity: "None" } : {
        sessionAffinity: "ClientIP",
        sessionAffinityConfig: { clientIP: { timeoutSeconds: spec.affinity } },
      }),
      ...(spec.externalTrafficPolicy ? { externalTrafficPolicy: spec.externalTrafficPolicy } : {}),
    },
    status: {
      loadBalancer: {
        ingress: loadBalancerIPs.map((ip) => ({ ip, ...(spec.ipMode ? { ipMode: spec.ipMode } : {}) })),
      },
    },
  };
}

/** A machine as a range of its one address, in the families; or a CIDR as it is. */
function sourceRanges(range: string, families: readonly Family[]): string[] {
  if (!isMachine(range)) return [range];
  return families.map((family) => machines[range].addresses[family] + (family === "IPv4" ? "/32" : "/128"));
}

/** One EndpointSlice per family. */
export function sliceObjects(
  spec: EndpointsSpec,
  service: ServiceSpec | undefined,
  families: readonly Family[],
): KubernetesObject[] {
  const ports = spec.ports ??
    service?.ports.map(({ name, protocol, targetPort }) => ({ name, protocol, port: targetPort })) ?? [];
  return families.map((family) => ({
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: {
      name: `${spec.of}-${spec.slice}-${family.toLowerCase()}`,
      namespace: "default",
      labels: { "kubernetes.io/service-name": spec.of, ...spec.labels },
    },
    addressType: family,
    ports,
    endpoints: [
      ...spec.ready.map((endpoint) =>
        endpointObject(endpoint, family, { ready: true, serving: true, terminating: false })
      ),
      ...spec.terminating.map((endpoint) =>
        endpointObject(endpoint, family, { ready: false, serving: true, terminating: true })
      ),
      ...spec.notReady.map((endpoint) =>
        endpointObject(endpoint, family, { ready: false, serving: false, terminating: false })
      ),
    ],
  }));
}

function endpointObject(endpoint: EndpointSpec, family: Family, conditions: Record<string, boolean>) {
  if (!isMachine(endpoint.pod)) throw new Error(`no machine is called ${endpoint.pod}`);
  const { addresses, node } = machines[endpoint.pod];
  const { zones, nodes } = "zones" in endpoint || "nodes" in endpoint
    ? endpoint
    : { zones: undefined, nodes: undefined };
  const hints = {
    ...(zones ? { forZones: zones.map((name) => ({ name })) } : {}),
    ...(nodes ? { forNodes: nodes.map((name) => ({ name })) } : {}),
  };
  return {
    addresses: [addresses[family]],
    conditions,
    nodeName: endpoint.node ?? node,
    ...(zones || nodes ? { hints } : {}),
  };
}

export function isMachine(name: string): name is MachineName {
  return Object.hasOwn(machines, name);
}

/** What every scenario runs on: the nodes, and the service ranges. */
export const clusterObjects: readonly KubernetesObject[] = [
  nodeObject("here", "node", "zone-1"),
  nodeObject("elsewhere", "elsewhere", "zone-2"),
  {
    apiVersion: "networking.k8s.io/v1",
    kind: "ServiceCIDR",
    metadata: { name: "kubernetes" },
    spec: { cidrs: Object.values(serviceRanges.clusterIP) },
  },
];

function nodeObject(name: "here" | "elsewhere", machine: MachineName, zone: string): KubernetesObject {
  const { IPv4, IPv6 } = machines[machine].addresses;
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name, labels: { "kubernetes.io/hostname": name, "topology.kubernetes.io/zone": zone } },
    spec: { podCIDR: podCidrs[name].IPv4, podCIDRs: Object.values(podCidrs[name]) },
    status: {
      addresses: [IPv4, IPv6].map((address) => ({ type: "InternalIP", address })),
    },
  };
}
