import { machines } from "../../lab/topology.ts";

const pods = ["pod-a", "pod-b", "pod-c"] as const;

/** A Service of port 80 in namespace default, whose endpoints are the lab's pods of node "here", port 8080. */
export function webObjects(
  name: string,
  clusterIP: string,
  spec: object = {},
  loadBalancerIPs: readonly string[] = [],
): readonly object[] {
  return [
    {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name, namespace: "default" },
      spec: { clusterIP, ports: [{ port: 80 }], ...spec },
      status: { loadBalancer: { ingress: loadBalancerIPs.map((ip) => ({ ip })) } },
    },
    {
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      metadata: { name: `${name}-1`, namespace: "default", labels: { "kubernetes.io/service-name": name } },
      addressType: "IPv4",
      ports: [{ port: 8080 }],
      endpoints: pods.map((pod) => ({ addresses: [machines[pod].addresses.IPv4], nodeName: "here" })),
    },
  ];
}
