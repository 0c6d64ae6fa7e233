import { formatSocketAddress } from "../../../core/net/address.ts";
import { type Endpoint, type Frontend, printedName, type ServicePortPlan } from "../../../core/plan/plan.ts";
import { nameHash } from "../../name_hash.ts";
import { chainIdentity, endpointChainAt } from "./names.ts";
import { comment, dport, type IptablesRule, isAddress, jump, type Target } from "./rule.ts";

/** A plan with what several of its rules need, computed once. */
export interface ServicePort {
  readonly plan: ServicePortPlan;
  /** The name in comments: `default/web:http`. */
  readonly name: string;
  /**
   * Names of the chain of all endpoints, of the chain of this node's endpoints, and of the two chains in
   * front of them. A service port may use only some of these chains.
   */
  readonly chains: Readonly<Record<"cluster" | "local" | "external" | "firewall", string>>;
  /** The chain that the ClusterIP leads to; undefined if its traffic is rejected or dropped. */
  readonly internalChain: string | undefined;
  /** External addresses and node ports lead to endpoints, at least for some clients. */
  readonly isReachedFromOutside: boolean;
  /** Load-balancer IPs allow only some sources. */
  readonly isFirewalled: boolean;
  /**
   * In kube-proxy's order, that of the text of their addresses: `10.1.0.10:80` comes before `10.1.0.9:80`.
   */
  readonly clusterEndpoints: readonly PortEndpoint[];
  readonly localEndpoints: readonly PortEndpoint[];
}

export interface PortEndpoint {
  readonly endpoint: Endpoint;
  /** `10.1.0.1:8080`, `[fd00::1]:8080`. */
  readonly socket: string;
  readonly chain: string;
  readonly jump: Target;
}

export function servicePort(plan: ServicePortPlan): ServicePort {
  const { internal, external } = plan;
  const identity = chainIdentity(plan);
  const suffix = nameHash(identity);
  const chains = {
    cluster: "KUBE-SVC-" + suffix,
    local: "KUBE-SVL-" + suffix,
    external: "KUBE-EXT-" + suffix,
    firewall: "KUBE-FW-" + suffix,
  };
  const isReachedFromOutside = external.verdict === "balance" || external.verdict === "local-external";
  return {
    plan,
    name: printedName(plan),
    chains,
    internalChain: internal.verdict === "balance" ? chains[internal.to] : undefined,
    isReachedFromOutside,
    isFirewalled: isReachedFromOutside && plan.sourceRanges !== undefined,
    clusterEndpoints: portEndpoints(plan.clusterEndpoints, identity),
    localEndpoints: portEndpoints(plan.localEndpoints, identity),
  };
}

/** The endpoints of both lists without duplicates. */
export function reachableEndpoints(port: ServicePort): readonly PortEndpoint[] {
  const { clusterEndpoints, localEndpoints } = port;
  if (localEndpoints.length === 0) return clusterEndpoints;
  const known = new Set(clusterEndpoints.map(({ socket }) => socket));
  return clusterEndpoints.concat(localEndpoints.filter(({ socket }) => !known.has(socket)));
}

export type AddressFrontend = Exclude<Frontend, { kind: "NodePort" }>;

/** A rule for traffic to a frontend with an address. */
export function frontendRule(
  { plan: { protocol } }: ServicePort,
  { address, port }: AddressFrontend,
  text: string,
  target: Target,
): IptablesRule {
  return { destination: isAddress(address), protocol, matches: [comment(text), dport(port)], target };
}

function portEndpoints(endpoints: readonly Endpoint[], identity: string): readonly PortEndpoint[] {
  const all = endpoints.map((endpoint) => {
    const socket = formatSocketAddress(endpoint.address, endpoint.port);
    const chain = endpointChainAt(identity, socket);
    return { endpoint, socket, chain, jump: jump(chain) };
  });
  return all.sort((a, b) => a.socket < b.socket ? -1 : 1);
}
