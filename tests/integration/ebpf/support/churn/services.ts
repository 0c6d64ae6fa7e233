import { machines, serviceAddress } from "../../../../lab/topology.ts";

const PODS = ["pod-a", "pod-b", "pod-c", "pod-d"] as const;

/** Targets of connections: `PROTOCOL,ADDRESS,PORT`. */
export const targets = {
  clusterIPs: [
    `TCP,${serviceAddress("clusterIP", "IPv4", 11)},80`,
    `UDP,${serviceAddress("clusterIP", "IPv4", 12)},53`,
    `TCP,${serviceAddress("clusterIP", "IPv6", 13)},80`,
    `UDP,${serviceAddress("clusterIP", "IPv6", 14)},53`,
    `TCP,${serviceAddress("clusterIP", "IPv4", 15)},80`,
  ],
  others: [
    `TCP,${machines.node.addresses.IPv4},30011`,
    `UDP,${machines.node.addresses.IPv4},30012`,
    `TCP,${machines.node.addresses.IPv6},30013`,
    `UDP,${machines.node.addresses.IPv6},30014`,
    `TCP,${serviceAddress("loadBalancer", "IPv4", 11)},80`,
  ],
} as const;

/** Services that exist all the time. @param endpoints bit mask of the pods. */
export function permanentServices(endpoints = Number.MAX_SAFE_INTEGER): readonly object[] {
  return [
    ...service(11, "IPv4", "TCP", endpoints, {
      type: "LoadBalancer",
      loadBalancerSourceRanges: ["192.168.8.0/24", "10.244.0.0/16"],
    }),
    ...service(12, "IPv4", "UDP", endpoints, { type: "NodePort" }),
    ...service(13, "IPv6", "TCP", endpoints, { type: "NodePort" }),
    ...service(14, "IPv6", "UDP", endpoints, { type: "NodePort" }),
    ...service(15, "IPv4", "TCP", endpoints, { sessionAffinity: "ClientIP" }),
  ];
}

/** A service that exists for a short time. */
export function temporaryService(
  number: number,
): { readonly objects: readonly object[]; readonly target: string } {
  const family = number % 4 < 2 ? "IPv4" : "IPv6";
  const protocol = number % 3 === 0 ? "UDP" : "TCP";
  const host = 100 + number % 100;
  const sourceRange = family === "IPv4" ? `203.0.${number % 256}.0/24` : "2001:db8:7::/48";
  const spec = { type: "LoadBalancer", loadBalancerSourceRanges: [sourceRange] };
  return {
    objects: service(host, family, protocol, number, spec),
    target: `${protocol},${serviceAddress("clusterIP", family, host)},${protocol === "TCP" ? 80 : 53}`,
  };
}

/** @param endpoints bit mask of the pods; 0 selects the first one. */
function service(
  host: number,
  family: "IPv4" | "IPv6",
  protocol: "TCP" | "UDP",
  endpoints: number,
  spec: Readonly<Record<string, unknown>>,
): readonly object[] {
  const name = `service-${host}`;
  const hasNodePort = spec.type !== undefined;
  const port = protocol === "TCP" ? 80 : 53;
  const chosen = PODS.filter((_, index) => endpoints === Number.MAX_SAFE_INTEGER || endpoints >> index & 1);
  const ingress = [{ ip: serviceAddress("loadBalancer", family, host) }];
  return [
    {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name, namespace: "default" },
      spec: {
        clusterIP: serviceAddress("clusterIP", family, host),
        clusterIPs: [serviceAddress("clusterIP", family, host)],
        ipFamilies: [family],
        ports: [{ port, protocol, targetPort: 8080, ...(hasNodePort ? { nodePort: 30_000 + host } : {}) }],
        ...spec,
      },
      ...(spec.type === "LoadBalancer" ? { status: { loadBalancer: { ingress } } } : {}),
    },
    {
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      metadata: { name: `${name}-1`, namespace: "default", labels: { "kubernetes.io/service-name": name } },
      addressType: family,
      ports: [{ port: 8080, protocol }],
      endpoints: (chosen.length === 0 ? PODS.slice(0, 1) : chosen).map((pod) => ({
        addresses: [machines[pod].addresses[family]],
        nodeName: machines[pod].node,
      })),
    },
  ];
}
