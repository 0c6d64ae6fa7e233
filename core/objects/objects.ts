import type { Family, Protocol } from "../net/protocol.ts";
import type { Address, Cidr } from "../net/address.ts";

/**
 * The few fields of the API's objects that decide what a node does. They are parsed once, by
 * `parse/index.ts`.
 */

export type TrafficPolicy = "Cluster" | "Local";

export interface ServicePort {
  /** "" for the one unnamed port. */
  readonly name: string;
  readonly protocol: Protocol;
  readonly port: number;
  /** 0 when the port has none. */
  readonly nodePort: number;
}

/** A Service that is proxied. Services that docs/behaviour.md §1.2 filters out have no such object. */
export interface Service {
  readonly kind: "Service";
  readonly namespace: string;
  readonly name: string;
  /**
   * creationTimestamp as written, "" when absent. The older of two Services that claim one frontend gets it.
   */
  readonly created: string;
  /** At most one per family. */
  readonly clusterIPs: readonly Address[];
  readonly ports: readonly ServicePort[];
  readonly externalIPs: readonly Address[];
  /** Entries of status.loadBalancer.ingress that have an address and ipMode VIP (or none). */
  readonly loadBalancerIPs: readonly Address[];
  readonly loadBalancerSourceRanges: readonly Cidr[];
  /** Timeout of ClientIP affinity in seconds; 0 for no affinity. */
  readonly affinitySeconds: number;
  /** Already resolved: Local only for types to which it applies (docs/behaviour.md §2, externalLocal). */
  readonly externalTrafficPolicy: TrafficPolicy;
  readonly internalTrafficPolicy: TrafficPolicy;
  /** 0 when the Service has no health check to be served. */
  readonly healthCheckNodePort: number;
  /** Weight of the endpoints whose EndpointSlice has none: see `Endpoint.weight`. */
  readonly weight: number;
  /** How connections are balanced, in modes that have a choice; undefined for the default of the node. */
  readonly balancing: Balancing | undefined;
  /** Endpoints get a PROXY protocol header with the client's address, in modes that can send one. */
  readonly proxyProtocol?: true;
}

/** Weight of an endpoint when neither its EndpointSlice nor its Service has one. */
export const DEFAULT_WEIGHT = 1;

/** How new connections are balanced over the endpoints. */
export type Balancing =
  | "random"
  /**
   * Every node picks the same endpoint for a connection. When another endpoint goes away, most connections
   * keep theirs.
   */
  | "maglev";
export const BALANCINGS: readonly Balancing[] = ["random", "maglev"];

export interface SlicePort {
  readonly name: string;
  readonly protocol: Protocol;
  readonly port: number;
}

export interface SliceEndpoint {
  readonly address: Address;
  /**
   * Shared by all endpoints with the same traits, as far as possible, because there may be 100,000 endpoints.
   */
  readonly traits: EndpointTraits;
}

/** Fields of an endpoint in an EndpointSlice besides its address. */
export interface EndpointTraits {
  readonly ready: boolean;
  readonly serving: boolean;
  readonly terminating: boolean;
  /** "" when not set. */
  readonly nodeName: string;
  /** Zone of the endpoint, which is only shown to people; absent when not set or not a valid name. */
  readonly zone?: string;
  /** hints.forZones names; empty when there are none. */
  readonly zoneHints: readonly string[];
  /** hints.forNodes names; empty when there are none. */
  readonly nodeHints: readonly string[];
}

export interface EndpointSlice {
  readonly kind: "EndpointSlice";
  readonly namespace: string;
  readonly name: string;
  /** Name of the Service it belongs to, in the same namespace: label kubernetes.io/service-name. */
  readonly service: string;
  readonly family: Family;
  readonly ports: readonly SlicePort[];
  readonly endpoints: readonly SliceEndpoint[];
  /** endpoints.kubernetes.io/last-change-trigger-time in milliseconds since the epoch; 0 when absent. */
  readonly triggerTime: number;
  /** Weight of its endpoints; undefined for the weight of the Service. */
  readonly weight: number | undefined;
}

export interface Node {
  readonly kind: "Node";
  readonly name: string;
  /** Label topology.kubernetes.io/zone, "" when absent. */
  readonly zone: string;
  /**
   * The first InternalIP per family, or else the first ExternalIP. The first address makes its family the
   * primary one.
   */
  readonly addresses: readonly Address[];
  readonly podCidrs: readonly Cidr[];
  /**
   * False when the Node is being deleted or has the taint ToBeDeletedByClusterAutoscaler (docs/behaviour.md
   * §7.1).
   */
  readonly eligible: boolean;
}

export interface ServiceCidr {
  readonly kind: "ServiceCIDR";
  readonly name: string;
  readonly cidrs: readonly Cidr[];
}

export type ModelObject = Service | EndpointSlice | Node | ServiceCidr;
export type ObjectKind = ModelObject["kind"];

/** Names an object of the API. `namespace` is "" for Node and ServiceCIDR. */
export interface ObjectRef {
  readonly kind: ObjectKind;
  readonly namespace: string;
  readonly name: string;
}
