/** Objects of a cluster with a shop, for pictures: Services of every kind, on four nodes in two zones. */

const NODES = [["here", "a"], ["worker-2", "a"], ["worker-3", "b"], ["worker-4", "b"]] as const;

interface Sketch {
  readonly namespace: string;
  readonly name: string;
  readonly port: number;
  readonly endpoints: number;
  readonly spec?: object;
  readonly protocol?: string;
}

const LOCAL = { externalTrafficPolicy: "Local", type: "LoadBalancer", healthCheckNodePort: 32100 };

const sketches: readonly Sketch[] = [
  { namespace: "kube-system", name: "kube-dns", port: 53, endpoints: 2, protocol: "UDP" },
  { namespace: "kube-system", name: "metrics-server", port: 443, endpoints: 2 },
  { namespace: "shop", name: "frontend", port: 80, endpoints: 6, spec: { type: "NodePort" } },
  { namespace: "shop", name: "checkout", port: 8443, endpoints: 4, spec: { ...LOCAL } },
  { namespace: "shop", name: "cart", port: 8080, endpoints: 3, spec: { sessionAffinity: "ClientIP" } },
  { namespace: "shop", name: "catalogue", port: 8080, endpoints: 5 },
  { namespace: "shop", name: "payments", port: 8443, endpoints: 3 },
  { namespace: "shop", name: "recommendations", port: 8080, endpoints: 0 },
  { namespace: "shop", name: "search", port: 9200, endpoints: 4 },
  { namespace: "shop", name: "sessions", port: 6379, endpoints: 1 },
  { namespace: "data", name: "postgres", port: 5432, endpoints: 1 },
  { namespace: "data", name: "kafka", port: 9092, endpoints: 3, spec: { internalTrafficPolicy: "Local" } },
  { namespace: "monitoring", name: "prometheus", port: 9090, endpoints: 1 },
  { namespace: "monitoring", name: "grafana", port: 3000, endpoints: 1, spec: { type: "NodePort" } },
];

/**
 * @param change number of the change that moves some endpoints to other addresses and makes one of them terminate.
 */
export function shop(change: number): readonly object[] {
  let next = 0;
  const triggered = new Date().toISOString();
  return sketches.flatMap(({ namespace, name, port, endpoints, spec = {}, protocol = "TCP" }, index) => {
    const hasNodePort = "type" in spec;
    const moved = (index + change) % 5 === 0 ? change % 40 : 0;
    const creationTimestamp = "2026-03-14T09:26:53Z";
    return [{
      apiVersion: "v1",
      kind: "Service",
      metadata: { namespace, name, creationTimestamp },
      spec: {
        clusterIP: `10.96.${10 + index}.${20 + 7 * index}`,
        ports: [{ port, protocol, ...hasNodePort ? { nodePort: 30000 + port % 2768 } : {} }],
        ...spec,
      },
      status: { loadBalancer: { ingress: "healthCheckNodePort" in spec ? [{ ip: "198.51.100.40" }] : [] } },
    }, {
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      metadata: {
        namespace,
        name: `${name}-1`,
        labels: { "kubernetes.io/service-name": name },
        annotations: { "endpoints.kubernetes.io/last-change-trigger-time": triggered },
      },
      addressType: "IPv4",
      ports: [{ port: 8080, protocol }],
      endpoints: Array.from({ length: endpoints }, (_, i) => {
        const [nodeName, zone] = NODES[(i + index) % NODES.length] ?? NODES[0];
        const terminating = endpoints > 3 && i === endpoints - 1;
        const n = next++;
        return {
          addresses: [`10.244.${1 + n % 4}.${10 + n + (i === 0 ? moved : 0)}`],
          nodeName,
          zone,
          conditions: { ready: !terminating, serving: true, terminating },
        };
      }),
    }];
  });
}
