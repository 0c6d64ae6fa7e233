/** Size of a synthetic cluster, the input of every benchmark. The functions below make its API objects. */
export interface ClusterSize {
  readonly services: number;
  /** Number of endpoints per service. */
  readonly endpoints: number;
}

/** ClusterIP of the i-th service. 10.96.0.0/12 has 1,048,576 addresses. */
export function clusterIP(service: number): string {
  const n = service + 1;
  return `10.${96 + (n >> 16)}.${(n >> 8) & 255}.${n & 255}`;
}

/** Address of an endpoint in 10.128.0.0/9; unique up to 30,000 services x 10 endpoints. Every 100th is on this node. */
export function endpointIP(service: number, endpoint: number, size: ClusterSize): string {
  const n = service * size.endpoints + endpoint;
  return `10.${128 + (n >> 16)}.${(n >> 8) & 255}.${n & 255}`;
}

export function serviceObject(service: number, resourceVersion = 1): object {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: {
      name: `svc-${service}`,
      namespace: `ns-${service % 50}`,
      uid: `00000000-0000-4000-8000-${String(service).padStart(12, "0")}`,
      resourceVersion: String(resourceVersion),
      creationTimestamp: "2026-01-01T00:00:00Z",
      labels: { app: `app-${service}` },
    },
    spec: {
      clusterIP: clusterIP(service),
      clusterIPs: [clusterIP(service)],
      ipFamilies: ["IPv4"],
      ipFamilyPolicy: "SingleStack",
      internalTrafficPolicy: "Cluster",
      ports: [{ name: "http", port: 80, protocol: "TCP", targetPort: 8080 }],
      selector: { app: `app-${service}` },
      sessionAffinity: "None",
      type: "ClusterIP",
    },
    status: { loadBalancer: {} },
  };
}

/** The only slice of a service. `without` is the index of an endpoint to leave out, as if its pod were gone. */
export function sliceObject(
  service: number,
  size: ClusterSize,
  options: { without?: number; resourceVersion?: number } = {},
): object {
  const endpoints = [];
  for (let i = 0; i < size.endpoints; i++) {
    if (i === options.without) continue;
    endpoints.push({
      addresses: [endpointIP(service, i, size)],
      conditions: { ready: true, serving: true, terminating: false },
      nodeName: `node-${(service * size.endpoints + i) % 100}`,
      targetRef: { kind: "Pod", namespace: `ns-${service % 50}`, name: `app-${service}-${i}` },
      zone: `zone-${i % 3}`,
    });
  }
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: {
      name: `svc-${service}-abcde`,
      namespace: `ns-${service % 50}`,
      resourceVersion: String(options.resourceVersion ?? 1),
      creationTimestamp: "2026-01-01T00:00:00Z",
      labels: {
        "kubernetes.io/service-name": `svc-${service}`,
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
      },
    },
    addressType: "IPv4",
    ports: [{ name: "http", port: 8080, protocol: "TCP" }],
    endpoints,
  };
}

export function nodeObject(name: string): object {
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name, resourceVersion: "1", labels: { "topology.kubernetes.io/zone": "zone-0" } },
    spec: { podCIDRs: ["10.128.0.0/24"] },
    status: {
      addresses: [{ type: "InternalIP", address: "192.0.2.10" }, { type: "Hostname", address: name }],
    },
  };
}
