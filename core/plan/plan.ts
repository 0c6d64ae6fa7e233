import { type Address, type Cidr, formatSocketAddress } from "../net/address.ts";
import type { Family, Protocol } from "../net/protocol.ts";
import type { Balancing } from "../objects/objects.ts";

/**
 * What a node does with one service port in one family: everything a backend needs, with all Kubernetes semantics
 * already applied. A backend never sees a Service or an EndpointSlice.
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
  /** Route of the ExternalIP, LoadBalancerIP and NodePort frontends (externalTrafficPolicy); reject without any. */
  readonly external: Route;
  /** Sorted by address bytes, then port; without duplicates. */
  readonly clusterEndpoints: readonly Endpoint[];
  /** Endpoints on this node, for routes that use them; empty otherwise. Same order. */
  readonly localEndpoints: readonly Endpoint[];
  /**
   * Endpoints that a flow may stay with, wherever they are and whether or not new flows get there. Same order.
   * UDP (docs/behaviour.md §6): all that serve, and all that are ready. TCP, where `PlanContext.endsConnections`: all
   * that a slice lists, since one that is not ready or terminates may finish what it began. Empty otherwise.
   */
  readonly servingEndpoints: readonly Endpoint[];
  /** ClientIP affinity: seconds since the client's last new connection. 0 for none. */
  readonly affinitySeconds: number;
  /** How the service asks to be balanced, of modes that can do so; undefined for as the node usually does. */
  readonly balancing: Balancing | undefined;
  /**
   * Who may use the LoadBalancerIP frontends; undefined when all may. Includes the service's own VIPs as sources
   * when this node's address is in a range (docs/behaviour.md §4.6). None contains another.
   */
  readonly sourceRanges: readonly Cidr[] | undefined;
  /** Where a load balancer asks for the health of an externalTrafficPolicy Local service; 0 for none. */
  readonly healthCheckNodePort: number;
}

declare const planKeyBrand: unique symbol;
/** Unique per service port and family: see `planKey`. */
export type PlanKey = string & { readonly [planKeyBrand]: true };

export type Frontend =
  | {
    readonly kind: "ClusterIP" | "ExternalIP" | "LoadBalancerIP";
    readonly address: Address;
    readonly port: number;
  }
  /** On every node-port address of the node (see NodeSettings.nodePorts). */
  | { readonly kind: "NodePort"; readonly port: number };

/** What happens to a new connection to a frontend. */
export type Route =
  /** Balanced over the plan's cluster or local endpoints, which are not empty. */
  | { readonly verdict: "balance"; readonly to: "cluster" | "local"; readonly masquerade: Masquerade }
  /**
   * externalTrafficPolicy Local: sources outside go to the local endpoints, or are dropped when there are none;
   * this node's pods (unmasqueraded) and the node itself (masqueraded) go to the cluster endpoints, which are not
   * empty: the short circuit of docs/behaviour.md §4.3.
   */
  | { readonly verdict: "local-external" }
  /** Refused: ICMP port unreachable. */
  | { readonly verdict: "reject" }
  | { readonly verdict: "drop" };

/** Whose source address becomes the node's. */
export type Masquerade =
  /** Everyone's: external addresses with policy Cluster. */
  | "all"
  /** ClusterIP: that of sources that are not local pods, as NodeSettings.localTraffic detects them, or everyone's with masqueradeAll. */
  | "off-node";

export interface Endpoint {
  readonly address: Address;
  readonly port: number;
  /** Runs on this node. */
  readonly isLocal: boolean;
  /**
   * Share of the new connections, beside those of the others, in modes that can; 0 for none. Left out when it is
   * DEFAULT_WEIGHT, because there may be 100,000 endpoints.
   */
  readonly weight?: number;
}

/** How to recognise traffic from this node's pods, one family (docs/behaviour.md §4.2). */
export type LocalTraffic =
  | { readonly mode: "none" }
  | { readonly mode: "cidr"; readonly cidr: Cidr }
  | { readonly mode: "interface"; readonly name: string }
  | { readonly mode: "interface-prefix"; readonly prefix: string };

/** Node-wide facts that a backend programs once, for one family. */
export interface NodeSettings {
  readonly family: Family;
  readonly localTraffic: LocalTraffic;
  readonly masqueradeAll: boolean;
  /** The packet mark of connections to masquerade: `1 << masqueradeBit`. */
  readonly masqueradeMark: number;
  /** Where NodePort frontends answer: on every address of the node, or on those listed. */
  readonly nodePorts: "all" | readonly Address[];
  /** What interfaces of the node have, sorted; empty for modes that do not need to know. */
  readonly interfaceAddresses: readonly Address[];
  /** `all` and the list include loopback addresses: mode iptables, IPv4 (docs/behaviour.md §4.5). */
  readonly localhostNodePorts: boolean;
  /** Known service address ranges: what is in one and belongs to no service is dropped. */
  readonly serviceCidrs: readonly Cidr[];
}

/** Everything a backend is to make true, for the families in use. */
export interface DesiredState {
  readonly settings: readonly NodeSettings[];
  readonly plans: ReadonlyMap<PlanKey, ServicePortPlan>;
}

/** What names a service port in one family. */
export interface ServicePortName {
  readonly namespace: string;
  readonly name: string;
  /** "" for the one unnamed port. */
  readonly portName: string;
  readonly protocol: Protocol;
  readonly family: Family;
}

/** The key of a service port: `default/web:http/TCP/IPv4`. */
export function planKey(port: ServicePortName): PlanKey {
  // Joined, because a string made by adding keeps its parts beside it in memory.
  return [printedName(port), port.protocol, port.family].join("/") as PlanKey;
}

/** As upstream prints service ports: `default/web:http`, `default/web` for the unnamed port. */
export function printedName(port: Pick<ServicePortName, "namespace" | "name" | "portName">): string {
  const { namespace, name, portName } = port;
  return portName === "" ? `${namespace}/${name}` : `${namespace}/${name}:${portName}`;
}

/** The printed name of the service port that has this key. */
export function printedNameOf(key: PlanKey): string {
  return key.slice(0, key.lastIndexOf("/", key.lastIndexOf("/") - 1));
}

/** `10.96.0.10:80/TCP`, `[fd00::1]:80/UDP`, `node port 30080/TCP`. */
export function describeFrontend(frontend: Frontend, protocol: Protocol): string {
  return frontend.kind === "NodePort"
    ? `node port ${frontend.port}/${protocol}`
    : `${formatSocketAddress(frontend.address, frontend.port)}/${protocol}`;
}
