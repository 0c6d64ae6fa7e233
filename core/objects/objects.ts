import type { Family, Protocol } from "../net/protocol.ts";
import type { Address, Cidr } from "../net/address.ts";

/** The few fields of the API's objects that decide what a node does. Parsed once, at the edge (`parse.ts`). */

export type TrafficPolicy = "Cluster" | "Local";

export interface ServicePort {
  /** "" for the one unnamed port. */
  readonly name: string;
  readonly protocol: Protocol;
  readonly port: number;
  /** 0 when the port has none. */
  readonly nodePort: number;
}

/** One Service, after the filtering of docs/behaviour.md §1.2: those that are not proxied are never made. */
export interface Service {
  readonly kind: "Service";
  readonly namespace: string;
  readonly name: string;
  /** creationTimestamp as written, "" when absent: the older of two claimants of one frontend wins. */
  readonly created: string;
  /** At most one of each family. */
  readonly clusterIPs: readonly Address[];
  readonly ports: readonly ServicePort[];
  readonly externalIPs: readonly Address[];
  /** Of status.loadBalancer.ingress, those with an address and ipMode VIP (or none). */
  readonly loadBalancerIPs: readonly Address[];
  readonly loadBalancerSourceRanges: readonly Cidr[];
  /** ClientIP affinity's timeout in seconds; 0 for none. */
  readonly affinitySeconds: number;
  /** Already resolved: Local only where the type makes it count (§2, externalLocal). */
  readonly externalTrafficPolicy: TrafficPolicy;
  readonly internalTrafficPolicy: TrafficPolicy;
  /** 0 when none is to be served. */
  readonly healthCheckNodePort: number;
  /** Of its endpoints whose slices do not say another, see `Endpoint.weight`. */
  readonly weight: number;
  /** How its connections are spread, in modes that can; undefined when it leaves that to the node. */
  readonly balancing: Balancing | undefined;
}

/** Of endpoints that nothing says another of. */
export const DEFAULT_WEIGHT = 1;

/** How new connections are spread over endpoints. */
export type Balancing =
  | "random"
  /** The same endpoint for a connection on every node, and for most the same when another endpoint goes. */
  | "maglev";
export const BALANCINGS: readonly Balancing[] = ["random", "maglev"];

export interface SlicePort {
  readonly name: string;
  readonly protocol: Protocol;
  readonly port: number;
}

export interface SliceEndpoint {
  readonly address: Address;
  /** One object for all endpoints of which it is true, as far as possible: there may be 100,000. */
  readonly traits: EndpointTraits;
}

/** What a slice says of an endpoint besides its address. */
export interface EndpointTraits {
  readonly ready: boolean;
  readonly serving: boolean;
  readonly terminating: boolean;
  /** "" when not set. */
  readonly nodeName: string;
  /** hints.forZones names; empty when there are none. */
  readonly zoneHints: readonly string[];
  /** hints.forNodes names; empty when there are none. */
  readonly nodeHints: readonly string[];
}

export interface EndpointSlice {
  readonly kind: "EndpointSlice";
  readonly namespace: string;
  readonly name: string;
  /** Name of the owner Service, from label kubernetes.io/service-name, in the same namespace. */
  readonly service: string;
  readonly family: Family;
  readonly ports: readonly SlicePort[];
  readonly endpoints: readonly SliceEndpoint[];
  /** endpoints.kubernetes.io/last-change-trigger-time in milliseconds since the epoch; 0 when absent. */
  readonly triggerTime: number;
  /** Of its endpoints; undefined when it leaves that to the Service. */
  readonly weight: number | undefined;
}

export interface Node {
  readonly kind: "Node";
  readonly name: string;
  /** Label topology.kubernetes.io/zone, "" when absent. */
  readonly zone: string;
  /** Per family the first InternalIP, else the first ExternalIP; in the Node's order, so the first is primary. */
  readonly addresses: readonly Address[];
  readonly podCidrs: readonly Cidr[];
  /** Neither being deleted nor tainted ToBeDeletedByClusterAutoscaler (§7.1). */
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
