/** A minimal Service with one port; `spec` overrides its fields. */
export function service(name: string, clusterIP: string, spec: object = {}): object {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace: "default" },
    spec: { clusterIP, ports: [{ port: 80 }], ...spec },
  };
}

/** The EndpointSlice of a Service with all endpoints ready. */
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

/** A Service with one endpoint, listed as `${clusterIP}:80 default/${name}` once in force. */
export function reachable(name: string, clusterIP: string, endpoint = "10.244.1.11"): readonly object[] {
  return [service(name, clusterIP), slice(name, [endpoint])];
}
