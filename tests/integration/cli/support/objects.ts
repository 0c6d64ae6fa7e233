/** The least that makes a Service with one port, and what a test changes of its spec. */
export function service(name: string, clusterIP: string, spec: object = {}): object {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace: "default" },
    spec: { clusterIP, ports: [{ port: 80 }], ...spec },
  };
}

/** The EndpointSlice of a Service, all of its endpoints ready. */
export function slice(of: string, addresses: readonly string[], fields: object = {}): object {
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name: `${of}-1`, namespace: "default", labels: { "kubernetes.io/service-name": of } },
    addressType: "IPv4",
    ports: [{ port: 8080 }],
    endpoints: addresses.map((address) => ({ addresses: [address] })),
    ...fields,
  };
}

/** A Service and its one endpoint: in force it is `${clusterIP}:80 default/${name}`. */
export function reachable(name: string, clusterIP: string, endpoint = "10.244.1.11"): readonly object[] {
  return [service(name, clusterIP), slice(name, [endpoint])];
}
