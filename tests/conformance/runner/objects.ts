import type { Family } from "../../../core/net/protocol.ts";
import {
  type MachineName,
  machines,
  nobody,
  podCidrs,
  serviceAddress,
  type ServiceRange,
  serviceRanges,
} from "../../lab/topology.ts";
import type { EndpointsSpec, ServiceSpec } from "../format/scenario.ts";

/** A Kubernetes object as the API server returns it. */
export interface KubernetesObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly [field: string]: unknown;
}

/** Assigns addresses to the services of a scenario, in the order in which they are named. */
export class ServiceAddresses {
  // The first ten are reserved for the API server, which takes one for itself. 250 is never given to a service.
  readonly #numbers = new Map([["unallocated", 250]]);

  has(service: string): boolean {
    return this.#numbers.has(service);
  }

  of(range: ServiceRange, service: string, family: Family): string {
    const number = this.#numbers.get(service) ?? 10 + this.#numbers.size;
    this.#numbers.set(service, number);
    return serviceAddress(range, family, number);
  }
}

export function serviceObject(
  spec: ServiceSpec,
  scenarioFamilies: readonly Family[],
  addresses: ServiceAddresses,
): KubernetesObject {
  const families = spec.family
    ? [spec.family === "v4" ? "IPv4" as const : "IPv6" as const]
    : scenarioFamilies;
  const addressesOf = (range: ServiceRange, owner: boolean | string | readonly string[]) => {
    const names = typeof owner === "boolean" ? (owner ? [spec.name] : []) : [owner].flat();
    return names.flatMap((name) =>
      families.map((family) =>
        isMachine(name) ? machines[name].addresses[family] : addresses.of(range, name, family)
      )
    );
  };
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
      ...nameAndNamespace(spec.name),
      labels: spec.labels,
      annotations: spec.annotations,
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
      ...(spec.healthCheckNodePort ? { healthCheckNodePort: spec.healthCheckNodePort } : {}),
    },
    status: {
      loadBalancer: {
        ingress: loadBalancerIPs.map((ip) => ({ ip, ...(spec.ipMode ? { ipMode: spec.ipMode } : {}) })),
      },
    },
  };
}

/** Splits `name` or `name.namespace`. */
function nameAndNamespace(text: string): { name: string; namespace: string } {
  const [name, namespace = "default"] = text.split(".");
  return { name: name!, namespace };
}

/** Source ranges of a machine, one per family with its single address; a CIDR is returned unchanged. */
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
  const { name, namespace } = nameAndNamespace(spec.of);
  return families.map((family) => ({
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: {
      name: `${name}-${spec.slice}-${family.toLowerCase()}`,
      namespace,
      labels: { "kubernetes.io/service-name": name, ...spec.labels },
      annotations: spec.annotations,
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

/** Common type of all forms of an endpoint in a scenario. */
interface AnyEndpointSpec {
  readonly pod: string;
  readonly node?: string | undefined;
  readonly zones?: readonly string[] | undefined;
  readonly nodes?: readonly string[] | undefined;
  readonly conditions?: Readonly<Record<string, boolean | undefined>> | undefined;
}

function endpointObject(
  endpoint: AnyEndpointSpec,
  family: Family,
  defaultConditions: Record<string, boolean>,
) {
  const { addresses, node } = machineOrNobody(endpoint.pod);
  const { zones, nodes, conditions = defaultConditions } = endpoint;
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

function machineOrNobody(name: string) {
  if (name === "nobody") return nobody;
  if (!isMachine(name)) throw new Error(`no machine is called ${name}`);
  return machines[name];
}

export function isMachine(name: string): name is MachineName {
  return Object.hasOwn(machines, name);
}

/** Objects that exist in every scenario: the nodes and the service range. */
export function clusterObjects(zoneHere = "zone-1"): readonly KubernetesObject[] {
  return [
    nodeObject("here", "node", zoneHere),
    nodeObject("elsewhere", "elsewhere", "zone-2"),
    {
      apiVersion: "networking.k8s.io/v1",
      kind: "ServiceCIDR",
      metadata: { name: "kubernetes" },
      spec: { cidrs: Object.values(serviceRanges.clusterIP) },
    },
  ];
}

/** @param zone "none" for a node without a zone. */
function nodeObject(name: "here" | "elsewhere", machine: MachineName, zone: string): KubernetesObject {
  const { IPv4, IPv6 } = machines[machine].addresses;
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: {
      name,
      labels: {
        "kubernetes.io/hostname": name,
        ...(zone === "none" ? {} : { "topology.kubernetes.io/zone": zone }),
      },
    },
    spec: { podCIDR: podCidrs[name].IPv4, podCIDRs: Object.values(podCidrs[name]) },
    status: {
      addresses: [IPv4, IPv6].map((address) => ({ type: "InternalIP", address })),
    },
  };
}
