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

/** What a plan depends on besides the service: where it is made, and for which families. */
export interface PlanContext {
  readonly families: readonly Family[];
  readonly nodeName: string;
  /** "" when the node has no zone. */
  readonly zone: string;
  /** This node's address of each family: see `detectNodeAddresses`. */
  readonly nodeAddresses: Readonly<Record<Family, Address>>;
  /**
   * The mode ends TCP connections whose endpoint is gone, so plans say which are still there. Other modes leave TCP
   * alone, and keep no list for it.
   */
  readonly endsConnections: boolean;
}

/**
 * What this node does with a service: one plan for each port and each family it has a cluster IP of. `slices` are
 * those of the service, in an order that does not depend on when they were seen (`Store` has them by name).
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

/** What the ports of a service have in common within one family. */
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
 * An address the service has in several roles is one frontend. A load balancer's address that is an external IP as
 * well keeps its source ranges: the firewall of one role must not be open through the other.
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
 * Who may use the load balancer's addresses (docs/behaviour.md §4.6). Ranges of the other family alone do not
 * restrict this one. What this node sends to such an address has that same address as its source, so the addresses
 * themselves are let in when this node is.
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
  const frontends = frontendsOf(port, addresses);
  // The first is the ClusterIP.
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
    servingEndpoints: flowsMayStayWith(port.protocol, candidates, selection.cluster, context),
    affinitySeconds: service.affinitySeconds,
    balancing: service.balancing,
    sourceRanges,
    healthCheckNodePort: service.healthCheckNodePort,
  };
}

function frontendsOf(port: ServicePort, addresses: readonly FrontendAddress[]): readonly Frontend[] {
  const frontends: Frontend[] = addresses.map(({ kind, address }) => ({ kind, address, port: port.port }));
  return port.nodePort === 0 ? frontends : frontends.concat({ kind: "NodePort", port: port.nodePort });
}

function flowsMayStayWith(
  protocol: Protocol,
  candidates: readonly Candidate[],
  cluster: readonly Endpoint[],
  { endsConnections }: PlanContext,
): readonly Endpoint[] {
  if (protocol === "UDP") return servingEndpoints(candidates, cluster);
  return protocol === "TCP" && endsConnections ? allEndpoints(candidates, cluster) : none;
}

const none: readonly Endpoint[] = [];

// One object for every plan that has the route.
const reject: Route = { verdict: "reject" };
const drop: Route = { verdict: "drop" };
const localExternal: Route = { verdict: "local-external" };
const internalToCluster: Route = { verdict: "balance", to: "cluster", masquerade: "off-node" };
const internalToLocal: Route = { verdict: "balance", to: "local", masquerade: "off-node" };
const externalToCluster: Route = { verdict: "balance", to: "cluster", masquerade: "all" };

/** The outcomes of docs/behaviour.md §3 for the ClusterIP. */
function internalRoute({ hasAny, local }: Selection, isLocal: boolean): Route {
  if (!hasAny) return reject;
  if (!isLocal) return internalToCluster;
  return local.length === 0 ? drop : internalToLocal;
}

/** The same for addresses outside; where nobody can come in, nothing has to be balanced. */
function externalRoute({ hasAny }: Selection, isExternal: boolean, isLocal: boolean): Route {
  if (!hasAny || !isExternal) return reject;
  return isLocal ? localExternal : externalToCluster;
}
