/** The objects of a cluster as the API server returns them, and the configuration of its node "here". */
export interface RawCluster {
  readonly services: readonly RawService[];
  readonly slices: readonly RawSlice[];
  readonly nodes: readonly RawNode[];
  readonly serviceCidrs: readonly RawServiceCidr[];
  readonly configuration: RawConfiguration;
  /** Addresses of the interfaces of node "here". */
  readonly interfaceAddresses: readonly string[];
}

export interface RawMetadata {
  readonly name: string;
  readonly namespace?: string;
  readonly creationTimestamp?: string;
  readonly labels?: Readonly<Record<string, string>>;
}

export interface RawService {
  readonly apiVersion: "v1";
  readonly kind: "Service";
  readonly metadata: RawMetadata;
  readonly spec: {
    readonly type?: "ClusterIP" | "NodePort" | "LoadBalancer" | "ExternalName";
    readonly clusterIP?: string;
    readonly clusterIPs?: readonly string[];
    readonly ipFamilies?: readonly string[];
    readonly ports: readonly RawServicePort[];
    readonly externalIPs?: readonly string[];
    readonly loadBalancerSourceRanges?: readonly string[];
    readonly sessionAffinity?: "None" | "ClientIP";
    readonly sessionAffinityConfig?: { readonly clientIP: { readonly timeoutSeconds: number } };
    readonly externalTrafficPolicy?: RawPolicy;
    readonly internalTrafficPolicy?: RawPolicy;
  };
  readonly status?: {
    readonly loadBalancer: {
      readonly ingress: readonly {
        readonly ip?: string;
        readonly hostname?: string;
        readonly ipMode?: "VIP" | "Proxy";
      }[];
    };
  };
}

export interface RawServicePort {
  readonly name?: string;
  readonly protocol?: RawProtocol;
  readonly port: number;
  readonly nodePort?: number;
}

export interface RawSlice {
  readonly apiVersion: "discovery.k8s.io/v1";
  readonly kind: "EndpointSlice";
  readonly metadata: RawMetadata;
  readonly addressType: "IPv4" | "IPv6" | "FQDN";
  readonly ports: readonly {
    readonly name?: string | null;
    readonly protocol?: RawProtocol;
    readonly port?: number | null;
  }[];
  readonly endpoints: readonly RawEndpoint[];
}

export interface RawEndpoint {
  readonly addresses: readonly string[];
  readonly conditions?: {
    readonly ready?: boolean;
    readonly serving?: boolean;
    readonly terminating?: boolean;
  };
  readonly nodeName?: string;
  readonly hints?: {
    readonly forZones?: readonly { readonly name: string }[];
    readonly forNodes?: readonly { readonly name: string }[];
  };
}

export interface RawNode {
  readonly apiVersion: "v1";
  readonly kind: "Node";
  readonly metadata: RawMetadata;
  readonly spec: { readonly podCIDRs?: readonly string[] };
  readonly status: { readonly addresses: readonly { readonly type: string; readonly address: string }[] };
}

export interface RawServiceCidr {
  readonly apiVersion: "networking.k8s.io/v1";
  readonly kind: "ServiceCIDR";
  readonly metadata: RawMetadata;
  readonly spec: { readonly cidrs: readonly string[] };
}

export interface RawConfiguration {
  readonly families: readonly ("IPv4" | "IPv6")[];
  readonly detectLocal:
    | { readonly mode: "ClusterCIDR"; readonly cidrs: readonly string[] }
    | { readonly mode: "NodeCIDR" }
    | { readonly mode: "BridgeInterface"; readonly interface: string }
    | { readonly mode: "InterfaceNamePrefix"; readonly prefix: string };
  readonly masqueradeAll: boolean;
  readonly nodePortAddresses: readonly string[];
  readonly bindAddress: string | undefined;
}

/**
 * The first packet of a connection. `incoming` is the interface; undefined when node "here" opens the
 * connection.
 */
export interface RawPacket {
  readonly source: string;
  readonly incoming: string | undefined;
  readonly destination: string;
  readonly protocol: RawProtocol;
  readonly port: number;
}

export type RawProtocol = "TCP" | "UDP" | "SCTP";
export type RawPolicy = "Cluster" | "Local";
