/** Objects as the API returns them. */

export interface RawObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: Readonly<Record<string, unknown>> & {
    readonly name: string;
    readonly namespace?: string;
  };
  readonly [field: string]: unknown;
}

export function rawService(name: string, spec: Record<string, unknown> = {}): RawObject {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace: "default" },
    spec: {
      clusterIP: "10.96.0.10",
      clusterIPs: ["10.96.0.10"],
      ipFamilies: ["IPv4"],
      ports: [{ port: 80, protocol: "TCP" }],
      ...spec,
    },
  };
}

export function rawSlice(name: string, service: string, addresses: readonly string[]): RawObject {
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name, namespace: "default", labels: { "kubernetes.io/service-name": service } },
    addressType: "IPv4",
    ports: [{ name: "", port: 8080, protocol: "TCP" }],
    endpoints: addresses.map((address) => ({ addresses: [address], conditions: { ready: true } })),
  };
}

/** The object with this weight as an annotation, and nothing else changed. */
export function weighed(object: RawObject, weight: string): RawObject {
  return { ...object, metadata: { ...object.metadata, annotations: { "proxy/weight": weight } } };
}

export function rawNode(name: string): RawObject {
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name },
    status: { addresses: [{ type: "InternalIP", address: "192.0.2.1" }] },
  };
}

export function rawServiceCidr(name: string, cidr: string): RawObject {
  return {
    apiVersion: "networking.k8s.io/v1",
    kind: "ServiceCIDR",
    metadata: { name },
    spec: { cidrs: [cidr] },
  };
}
