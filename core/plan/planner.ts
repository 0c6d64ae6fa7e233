import {
  type Address,
  type Cidr,
  compareAddresses,
  contains,
  familyOf,
  hostCidr,
  normaliseCidrs,
} from "../net/address.ts";
import {
  allEndpoints,
  type Candidate,
  joinSlices,
  selectEndpoints,
  type Selection,
  servingEndpoints,
} from "./endpoints.ts";
import type { Family, Protocol } from "../net/protocol.ts";
import type { EndpointSlice, Service, ServicePort } from "../objects/objects.ts";
import { type Endpoint, type Frontend, planKey, type Route, type ServicePortPlan } from "./plan.ts";

/** Facts about the node that plans depend on. */
export interface PlanContext {
  readonly families: readonly Family[];
  readonly nodeName: string;
  /** "" when the node has no zone. */
  readonly zone: string;
  /** Address of this node per family: see `detectNodeAddresses`. */
  readonly nodeAddresses: Readonly<Record<Family, Address>>;
  /**
   * True when the mode ends TCP connections whose endpoint is gone, so plans list the endpoints that still
   * exist. Other modes do not end TCP connections, and need no list.
   */
  readonly endsConnections: boolean;
}

/**
 * Plans a service: one plan per port and per family in which the service has a cluster IP. A pure function.
 * @param slices the slices of the service, in an order that does not depend on when they were received
 * (`Store` sorts them by name).
 */
export function planService(
  service: Service,
  slices: readonly EndpointSlice[],
  context: PlanContext,
): readonly ServicePortPlan[] {
  const plans: ServicePortPlan[] = [];
  for (const clusterIP of service.clusterIPs) {
    const family = familyOf(clusterIP);
    if (!context.families.includes(family)) continue;
    const addresses = frontendAddresses(service, clusterIP, family);
    const sourceRanges = planSourceRanges(service, addresses, context.nodeAddresses[family]);
    for (const port of service.ports) {
      plans.push(planPort(service, port, { family, addresses, sourceRanges }, slices, context));
    }
  }
  return plans;
}

/** Parts of a plan that all ports of a service share within one family. */
interface FamilyPart {
  readonly family: Family;
  readonly addresses: readonly FrontendAddress[];
  readonly sourceRanges: readonly Cidr[] | undefined;
}

interface FrontendAddress {
  readonly kind: Exclude<Frontend["kind"], "NodePort">;
  readonly address: Address;
}

/**
 * Lists the addresses of frontends. An address with several roles is one frontend. A load balancer's address
 * that is also an external IP keeps its source ranges, because the firewall of one role must not be bypassed
 * by the other.
 */
function frontendAddresses(service: Service, clusterIP: Address, family: Family): readonly FrontendAddress[] {
  const found = new Map<Address, FrontendAddress>();
  const add = (kind: FrontendAddress["kind"], addresses: readonly Address[]) => {
    for (const address of addresses.length > 1 ? addresses.toSorted(compareAddresses) : addresses) {
      if (familyOf(address) === family && !found.has(address)) found.set(address, { kind, address });
    }
  };
  add("ClusterIP", [clusterIP]);
  add("LoadBalancerIP", service.loadBalancerIPs);
  add("ExternalIP", service.externalIPs);
  return [...found.values()];
}

/**
 * Source addresses that may use the load balancer's addresses (docs/behaviour.md §4.6). Ranges of the other
 * family alone do not restrict this family. A packet from this node to such an address has the same address
 * as its source, so the addresses themselves are admitted when this node is.
 */
function planSourceRanges(
  service: Service,
  addresses: readonly FrontendAddress[],
  nodeAddress: Address,
): readonly Cidr[] | undefined {
  const balanced = addresses.filter(({ kind }) => kind === "LoadBalancerIP");
  if (balanced.length === 0) return undefined;
  const ranges = service.loadBalancerSourceRanges.filter(({ address }) =>
    familyOf(address) === familyOf(nodeAddress)
  );
  if (ranges.length === 0 || ranges.some(({ prefix }) => prefix === 0)) return undefined;
  const admitsNode = ranges.some((range) => contains(range, nodeAddress));
  return normaliseCidrs(
    admitsNode ? [...ranges, ...balanced.map(({ address }) => hostCidr(address))] : ranges,
  );
}

function planPort(
  service: Service,
  port: ServicePort,
  { family, addresses, sourceRanges }: FamilyPart,
  slices: readonly EndpointSlice[],
  context: PlanContext,
): ServicePortPlan {
  const { namespace, name, internalTrafficPolicy, externalTrafficPolicy } = service;
  const frontends = addresses.length > MAX_UNREMEMBERED
    ? rememberedFrontends(service, port, addresses)
    : frontendsOf(port, addresses);
  // The first frontend is the ClusterIP.
  const isExternal = frontends.length > 1;
  const internalLocal = internalTrafficPolicy === "Local";
  const externalLocal = externalTrafficPolicy === "Local" && isExternal;
  const candidates = joinSlices(slices, port, family, context.nodeName, service.weight);
  const selection = selectEndpoints(
    candidates,
    { cluster: !internalLocal || isExternal, local: internalLocal || externalLocal },
    context,
  );
  return {
    key: planKey({ namespace, name, portName: port.name, protocol: port.protocol, family }),
    family,
    namespace,
    name,
    portName: port.name,
    protocol: port.protocol,
    frontends,
    internal: internalRoute(selection, internalLocal),
    external: externalRoute(selection, isExternal, externalLocal),
    clusterEndpoints: selection.cluster,
    localEndpoints: selection.local,
    servingEndpoints: servingEndpointsOf(port.protocol, candidates, selection.cluster, context),
    affinitySeconds: service.affinitySeconds,
    balancing: service.balancing,
    ...(service.proxyProtocol === true && port.protocol === "TCP" ? { proxyProtocol: true } : {}),
    sourceRanges,
    healthCheckNodePort: service.healthCheckNodePort,
  };
}

/**
 * The frontends of a Service with more addresses are made once. There may be tens of thousands, and they do not
 * depend on the endpoints.
 */
const MAX_UNREMEMBERED = 8;

/** Frontends by Service, ClusterIP and port. */
const remembered = new WeakMap<Service, Map<Address | undefined, Map<ServicePort, readonly Frontend[]>>>();

function rememberedFrontends(
  service: Service,
  port: ServicePort,
  addresses: readonly FrontendAddress[],
): readonly Frontend[] {
  const clusterIP = addresses[0]?.address;
  const ofService: NonNullable<ReturnType<typeof remembered.get>> = remembered.get(service) ?? new Map();
  remembered.set(service, ofService);
  const ofClusterIP = ofService.get(clusterIP) ?? new Map<ServicePort, readonly Frontend[]>();
  ofService.set(clusterIP, ofClusterIP);
  const frontends = ofClusterIP.get(port) ?? frontendsOf(port, addresses);
  ofClusterIP.set(port, frontends);
  return frontends;
}

function frontendsOf(port: ServicePort, addresses: readonly FrontendAddress[]): readonly Frontend[] {
  const frontends: Frontend[] = addresses.map(({ kind, address }) => ({ kind, address, port: port.port }));
  return port.nodePort === 0 ? frontends : frontends.concat({ kind: "NodePort", port: port.nodePort });
}

/** Endpoints that existing flows may keep: see `ServicePortPlan.servingEndpoints`. */
function servingEndpointsOf(
  protocol: Protocol,
  candidates: readonly Candidate[],
  cluster: readonly Endpoint[],
  { endsConnections }: PlanContext,
): readonly Endpoint[] {
  if (protocol === "UDP") return servingEndpoints(candidates, cluster);
  return protocol === "TCP" && endsConnections ? allEndpoints(candidates, cluster) : NO_ENDPOINTS;
}

const NO_ENDPOINTS: readonly Endpoint[] = [];

// Shared by all plans that have the route.
const REJECT: Route = { verdict: "reject" };
const DROP: Route = { verdict: "drop" };
const LOCAL_EXTERNAL: Route = { verdict: "local-external" };
const INTERNAL_TO_CLUSTER: Route = { verdict: "balance", to: "cluster", masquerade: "off-node" };
const INTERNAL_TO_LOCAL: Route = { verdict: "balance", to: "local", masquerade: "off-node" };
const EXTERNAL_TO_CLUSTER: Route = { verdict: "balance", to: "cluster", masquerade: "all" };

/** Route of the ClusterIP: docs/behaviour.md §3. */
function internalRoute({ hasAny, local }: Selection, isLocal: boolean): Route {
  if (!hasAny) return REJECT;
  if (!isLocal) return INTERNAL_TO_CLUSTER;
  return local.length === 0 ? DROP : INTERNAL_TO_LOCAL;
}

/**
 * Route of the external addresses: docs/behaviour.md §3. Without external addresses nothing has to be
 * balanced.
 */
function externalRoute({ hasAny }: Selection, isExternal: boolean, isLocal: boolean): Route {
  if (!hasAny || !isExternal) return REJECT;
  return isLocal ? LOCAL_EXTERNAL : EXTERNAL_TO_CLUSTER;
}
