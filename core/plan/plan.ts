import { type Address, type Cidr, formatSocketAddress } from "../net/address.ts";
import type { Family, Protocol } from "../net/protocol.ts";
import type { Balancing } from "../objects/objects.ts";

/**
 * Treatment of one service port in one family by this node. A plan contains everything that a backend needs,
 * with all Kubernetes semantics already applied: a backend never sees a Service or an EndpointSlice.
 */
export interface ServicePortPlan {
  readonly key: PlanKey;
  readonly family: Family;
  readonly namespace: string;
  readonly name: string;
  readonly portName: string;
  readonly protocol: Protocol;
  readonly frontends: readonly Frontend[];
  /** Route of the ClusterIP frontend (internalTrafficPolicy). */
  readonly internal: Route;
  /**
   * Route of the ExternalIP, LoadBalancerIP and NodePort frontends (externalTrafficPolicy); "reject" without
   * any.
   */
  readonly external: Route;
  /** Endpoints in the whole cluster, sorted by address bytes, then port; without duplicates. */
  readonly clusterEndpoints: readonly Endpoint[];
  /** Endpoints on this node, for routes that use them; empty otherwise. In the same order. */
  readonly localEndpoints: readonly Endpoint[];
  /**
   * Endpoints that existing flows may keep, on any node and also when they get no new flows. In the same
   * order. UDP (docs/behaviour.md §6): all endpoints that are serving or ready. TCP, with
   * `PlanContext.endsConnections`: all endpoints that a slice lists, because one that is not ready or
   * terminating may finish its connections. Otherwise empty.
   */
  readonly servingEndpoints: readonly Endpoint[];
  /** ClientIP affinity: seconds since the client's last new connection. 0 for no affinity. */
  readonly affinitySeconds: number;
  /**
   * How the service wants to be balanced, in modes that have a choice; undefined for the default of the node.
   */
  readonly balancing: Balancing | undefined;
  /** Endpoints get a PROXY protocol header with the client's address, in modes that can send one. TCP only. */
  readonly proxyProtocol?: true;
  /**
   * Source addresses that may use the LoadBalancerIP frontends; undefined for all. Includes the service's own
   * VIPs when this node's address is in a range (docs/behaviour.md §4.6). No range contains another.
   */
  readonly sourceRanges: readonly Cidr[] | undefined;
  /** Port where load balancers check the health of a service with externalTrafficPolicy Local; 0 for none. */
  readonly healthCheckNodePort: number;
}

declare const planKeyBrand: unique symbol;
/** Unique per service port and family: see `planKey`. */
export type PlanKey = string & { readonly [planKeyBrand]: true };

export type FrontendKind = Frontend["kind"];

export type Frontend =
  | {
    readonly kind: "ClusterIP" | "ExternalIP" | "LoadBalancerIP";
    readonly address: Address;
    readonly port: number;
  }
  /** Answers on every node-port address of the node (see NodeSettings.nodePorts). */
  | { readonly kind: "NodePort"; readonly port: number };

/** Verdict on a new connection to a frontend. */
export type Route =
  /** Balanced over the plan's cluster or local endpoints, which are not empty. */
  | { readonly verdict: "balance"; readonly to: "cluster" | "local"; readonly masquerade: Masquerade }
  /**
   * externalTrafficPolicy Local. Connections from outside go to the local endpoints, or are dropped when
   * there are none. Connections of this node's pods (unmasqueraded) and of the node itself (masqueraded) go
   * to the cluster endpoints, which are not empty: the short circuit of docs/behaviour.md §4.3.
   */
  | { readonly verdict: "local-external" }
  /** Answered with ICMP port unreachable. */
  | { readonly verdict: "reject" }
  | { readonly verdict: "drop" };

/** Sources that are masqueraded, i.e. replaced by an address of the node. */
export type Masquerade =
  /** All sources: external addresses with policy Cluster. */
  | "all"
  /**
   * ClusterIP: sources that are not pods of this node, as NodeSettings.localTraffic detects them; all sources
   * with masqueradeAll.
   */
  | "off-node";

export interface Endpoint {
  readonly address: Address;
  readonly port: number;
  /** Runs on this node. */
  readonly isLocal: boolean;
  /**
   * Present if the slice names no node, which only slices written by hand do. The endpoint gets connections like
   * one of another node. But it may run on this node, and then reaches itself from here.
   */
  readonly isNodeUnknown?: true;
  /**
   * Share of the new connections relative to the other endpoints, in modes that support weights; 0 for none.
   * Absent when it is DEFAULT_WEIGHT, because there may be 100,000 endpoints.
   */
  readonly weight?: number;
}

/** Reports whether connections of the endpoint to itself may pass this node. */
export function mayReachItselfHere({ isLocal, isNodeUnknown }: Endpoint): boolean {
  return isLocal || isNodeUnknown === true;
}

/** How traffic from this node's pods is recognised in one family (docs/behaviour.md §4.2). */
export type LocalTraffic =
  | { readonly mode: "none" }
  | { readonly mode: "cidr"; readonly cidr: Cidr }
  | { readonly mode: "interface"; readonly name: string }
  | { readonly mode: "interface-prefix"; readonly prefix: string };

/** Node-wide settings that a backend programs once, for one family. */
export interface NodeSettings {
  readonly family: Family;
  readonly localTraffic: LocalTraffic;
  readonly masqueradeAll: boolean;
  /** The packet mark of connections to masquerade: `1 << masqueradeBit`. */
  readonly masqueradeMark: number;
  /** Addresses where NodePort frontends answer: every address of the node, or those listed. */
  readonly nodePorts: "all" | readonly Address[];
  /** Addresses of the node's interfaces, sorted; empty for modes that do not need them. */
  readonly interfaceAddresses: readonly Address[];
  /** True when `nodePorts` includes loopback addresses; IPv4 only (docs/behaviour.md §4.5). */
  readonly localhostNodePorts: boolean;
  /**
   * Known ranges of service addresses. Packets to an address in a range that belongs to no service are
   * dropped.
   */
  readonly serviceCidrs: readonly Cidr[];
  /** Counters per service port: see docs/traffic.md. */
  readonly trafficMetrics: TrafficMetrics;
}

/** Levels of counting, each of which includes the one before. */
export const TRAFFIC_METRICS = ["off", "connections", "full"] as const;
/** "connections": new connections, and refused ones. "full": packets and bytes, too. */
export type TrafficMetrics = (typeof TRAFFIC_METRICS)[number];

/** Everything that a backend has to put in force, for the families in use. */
export interface DesiredState {
  readonly settings: readonly NodeSettings[];
  readonly plans: ReadonlyMap<PlanKey, ServicePortPlan>;
}

/** Names a service port in one family. */
export interface ServicePortName {
  readonly namespace: string;
  readonly name: string;
  /** "" for the unnamed port. */
  readonly portName: string;
  readonly protocol: Protocol;
  readonly family: Family;
}

/** Returns the key of a service port: `default/web:http/TCP/IPv4`. */
export function planKey(port: ServicePortName): PlanKey {
  // join() makes a flat string. A concatenation would keep its parts in memory as well.
  return [printedName(port), port.protocol, port.family].join("/") as PlanKey;
}

/** Formats a service port as kube-proxy does: `default/web:http`, or `default/web` for the unnamed port. */
export function printedName(port: Pick<ServicePortName, "namespace" | "name" | "portName">): string {
  const { namespace, name, portName } = port;
  return portName === "" ? `${namespace}/${name}` : `${namespace}/${name}:${portName}`;
}

/** Returns the printed name of the service port that has this key. */
export function printedNameOf(key: PlanKey): string {
  return key.slice(0, key.lastIndexOf("/", key.lastIndexOf("/") - 1));
}

/** Returns `namespace/name` of the Service whose port has this key. */
export function serviceNameOf(key: PlanKey): string {
  const [namespace, name = ""] = key.split("/", 2);
  const colon = name.indexOf(":");
  return [namespace, colon < 0 ? name : name.slice(0, colon)].join("/");
}

/** Formats `10.96.0.10:80/TCP`, `[fd00::1]:80/UDP` or `node port 30080/TCP`. */
export function describeFrontend(frontend: Frontend, protocol: Protocol): string {
  return frontend.kind === "NodePort"
    ? `node port ${frontend.port}/${protocol}`
    : `${formatSocketAddress(frontend.address, frontend.port)}/${protocol}`;
}
