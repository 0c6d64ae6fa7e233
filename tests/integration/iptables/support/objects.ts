import { FAMILIES, type Family } from "../../../../core/net/protocol.ts";
import { serviceAddress } from "../../../lab/topology.ts";

/** Objects in the form of the Kubernetes API. */

export interface RawObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string; readonly labels?: object };
  readonly [field: string]: unknown;
}

/** The fields of a Service. */
export interface RawService {
  readonly name: string;
  readonly type?: "ClusterIP" | "NodePort" | "LoadBalancer";
  readonly ports: readonly RawPort[];
  /** `None`, or the next unused address by default. */
  readonly clusterIP?: "None";
  /** Both by default. */
  readonly families?: readonly Family[];
  readonly externalIPs?: readonly string[];
  readonly loadBalancerIPs?: readonly string[];
  /** VIP by default. */
  readonly loadBalancerMode?: "Proxy";
  readonly sourceRanges?: readonly string[];
  readonly internalTrafficPolicy?: "Local";
  readonly externalTrafficPolicy?: "Local";
  readonly healthCheckNodePort?: number;
  /** ClientIP affinity, in seconds. */
  readonly affinity?: number;
}

export interface RawPort {
  readonly name: string;
  readonly protocol?: "TCP" | "UDP" | "SCTP";
  readonly port: number;
  readonly nodePort?: number;
}

export interface RawEndpoint {
  readonly address: string;
  readonly conditions?: object;
}

const numbers = new Map<string, number>();

export function service(spec: RawService): RawObject {
  const ofFamilies = spec.families ?? FAMILIES;
  const isHeadless = spec.clusterIP === "None";
  const clusterIPs = isHeadless ? ["None"] : ofFamilies.map((family) => clusterIP(spec.name, family));
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: spec.name, namespace: "default" },
    spec: {
      type: spec.type ?? "ClusterIP",
      clusterIP: clusterIPs[0],
      clusterIPs,
      ipFamilies: ofFamilies,
      ipFamilyPolicy: ofFamilies.length === 1 ? "SingleStack" : "RequireDualStack",
      ports: spec.ports.map((port) => ({ protocol: "TCP", targetPort: 8080, ...port })),
      ...(spec.type === "LoadBalancer" && {
        allocateLoadBalancerNodePorts: spec.ports.some(({ nodePort }) => nodePort !== undefined),
      }),
      ...(spec.externalIPs && { externalIPs: spec.externalIPs }),
      ...(spec.sourceRanges && { loadBalancerSourceRanges: spec.sourceRanges }),
      internalTrafficPolicy: spec.internalTrafficPolicy ?? "Cluster",
      ...(isExternal(spec) && { externalTrafficPolicy: spec.externalTrafficPolicy ?? "Cluster" }),
      ...(spec.healthCheckNodePort !== undefined && { healthCheckNodePort: spec.healthCheckNodePort }),
      ...(spec.affinity !== undefined && {
        sessionAffinity: "ClientIP",
        sessionAffinityConfig: { clientIP: { timeoutSeconds: spec.affinity } },
      }),
    },
    status: {
      loadBalancer: {
        ingress: (spec.loadBalancerIPs ?? []).map((ip) => ({ ip, ipMode: spec.loadBalancerMode ?? "VIP" })),
      },
    },
  };
}

/** An EndpointSlice of one family. Endpoints in 10.244.1.0/24 and fd00:244:1::/48 are on this node. */
export function slice(
  { name, ports }: Pick<RawService, "name" | "ports">,
  family: Family,
  endpoints: readonly RawEndpoint[],
): RawObject {
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: {
      name: `${name}-${family.toLowerCase()}`,
      namespace: "default",
      labels: { "kubernetes.io/service-name": name },
    },
    addressType: family,
    ports: ports.map((port) => ({ name: port.name, protocol: port.protocol ?? "TCP", port: 8080 })),
    endpoints: endpoints.map(({ address, conditions = { ready: true }, ...rest }) => ({
      addresses: [address],
      nodeName: /^(10\.244\.1\.|fd00:244:1:)/.test(address) ? "here" : "elsewhere",
      conditions,
      ...rest,
    })),
  };
}

/** The node that the proxies run on. */
export function localNode(
  { podCIDRs, addresses }: {
    readonly podCIDRs: readonly string[];
    readonly addresses: readonly string[];
  },
): RawObject {
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name: "here" },
    spec: { podCIDR: podCIDRs[0], podCIDRs },
    status: { addresses: addresses.map((address) => ({ type: "InternalIP", address })) },
  };
}

/** Starts at 10, because the API server uses the first address itself. */
function clusterIP(name: string, family: Family): string {
  const number = numbers.get(name) ?? 10 + numbers.size;
  numbers.set(name, number);
  return serviceAddress("clusterIP", family, number);
}

function isExternal({ type, externalIPs }: RawService): boolean {
  return (type !== undefined && type !== "ClusterIP") || externalIPs !== undefined;
}
