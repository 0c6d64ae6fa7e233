import { type Address, type Cidr, familyOf, parseAddress, parseCidr } from "../../core/net/address.ts";
import type { Family, Protocol } from "../../core/net/protocol.ts";
import type { Balancing } from "../../core/objects/objects.ts";
import {
  type DesiredState,
  type Endpoint,
  type Frontend,
  type NodeSettings,
  planKey,
  type Route,
  type ServicePortPlan,
} from "../../core/plan/plan.ts";

/** Plans written as people write addresses: `10.96.0.10:80`, `[fd00::10]:80`, `node:30080`, `10.1.0.1:8080@here`. */
export interface PlanText {
  readonly namespace?: string;
  readonly name?: string;
  readonly portName?: string;
  readonly protocol?: Protocol;
  readonly family?: Family;
  readonly clusterIP?: string;
  readonly externalIPs?: readonly string[];
  readonly loadBalancerIPs?: readonly string[];
  readonly nodePort?: number;
  readonly internal?: "cluster" | "local" | "reject" | "drop";
  readonly external?: "cluster" | "local" | "reject" | "drop";
  /**
   * With `@here` those on this node, with `@unknown` those whose slice names no node, with ` weight 5` those of a
   * weight of their own.
   */
  readonly endpoints?: readonly string[];
  readonly affinitySeconds?: number;
  readonly balancing?: Balancing | undefined;
  readonly sourceRanges?: readonly string[];
  readonly healthCheckNodePort?: number;
}

const routes: Readonly<Record<NonNullable<PlanText["internal"]>, Route>> = {
  cluster: { verdict: "balance", to: "cluster", masquerade: "off-node" },
  local: { verdict: "balance", to: "local", masquerade: "off-node" },
  reject: { verdict: "reject" },
  drop: { verdict: "drop" },
};

const externalRoutes: Readonly<Record<NonNullable<PlanText["external"]>, Route>> = {
  cluster: { verdict: "balance", to: "cluster", masquerade: "all" },
  local: { verdict: "local-external" },
  reject: { verdict: "reject" },
  drop: { verdict: "drop" },
};

export function planOf(text: PlanText): ServicePortPlan {
  const { namespace = "default", name = "web", portName = "http", protocol = "TCP", affinitySeconds = 0 } =
    text;
  const endpoints = (text.endpoints ?? ["10.1.0.1:8080"]).map(endpointOf);
  const first = text.clusterIP ?? text.externalIPs?.[0] ?? text.loadBalancerIPs?.[0];
  const family = text.family ?? (first === undefined ? "IPv4" : familyOf(socketOf(first).address));
  const external = text.external ?? "cluster";
  const internal = text.internal ?? "cluster";
  return {
    key: planKey({ namespace, name, portName, protocol, family }),
    family,
    namespace,
    name,
    portName,
    protocol,
    frontends: frontendsOf(text),
    internal: routes[internal],
    external: externalRoutes[external],
    clusterEndpoints: endpoints,
    localEndpoints: internal === "local" || external === "local"
      ? endpoints.filter(({ isLocal }) => isLocal)
      : [],
    servingEndpoints: protocol === "UDP" ? endpoints : [],
    affinitySeconds,
    balancing: text.balancing,
    sourceRanges: text.sourceRanges?.map(cidrOf),
    healthCheckNodePort: text.healthCheckNodePort ?? 0,
  };
}

export function settingsOf(
  family: Family,
  overrides: Partial<Omit<NodeSettings, "family">> = {},
): NodeSettings {
  return {
    family,
    localTraffic: { mode: "cidr", cidr: cidrOf(family === "IPv4" ? "10.1.0.0/24" : "fd00:1::/64") },
    masqueradeAll: false,
    masqueradeMark: 1 << 14,
    nodePorts: "all",
    interfaceAddresses: [],
    localhostNodePorts: false,
    serviceCidrs: [cidrOf(family === "IPv4" ? "10.96.0.0/12" : "fd00:96::/108")],
    trafficMetrics: "connections",
    ...overrides,
  };
}

export function desiredOf(
  plans: Iterable<ServicePortPlan>,
  settings?: readonly NodeSettings[],
): DesiredState {
  return {
    settings: settings ?? [settingsOf("IPv4"), settingsOf("IPv6")],
    plans: new Map([...plans].map((plan) => [plan.key, plan])),
  };
}

export function addressOf(text: string): Address {
  const address = parseAddress(text);
  if (address === undefined) throw new Error(`${text} is no address`);
  return address;
}

export function cidrOf(text: string): Cidr {
  const cidr = parseCidr(text);
  if (cidr === undefined) throw new Error(`${text} is no prefix`);
  return cidr;
}

function frontendsOf(text: PlanText): Frontend[] {
  const frontends: Frontend[] = [];
  if (text.clusterIP !== undefined) frontends.push({ kind: "ClusterIP", ...socketOf(text.clusterIP) });
  for (const ip of text.externalIPs ?? []) frontends.push({ kind: "ExternalIP", ...socketOf(ip) });
  for (const ip of text.loadBalancerIPs ?? []) frontends.push({ kind: "LoadBalancerIP", ...socketOf(ip) });
  if (text.nodePort !== undefined) frontends.push({ kind: "NodePort", port: text.nodePort });
  return frontends;
}

function endpointOf(text: string): Endpoint {
  const [place = "", weight] = text.split(" weight ");
  const [socket = "", here] = place.split("@");
  return {
    ...socketOf(socket),
    isLocal: here === "here",
    ...(here === "unknown" ? { isNodeUnknown: true } : {}),
    ...(weight === undefined ? {} : { weight: Number(weight) }),
  };
}

function socketOf(text: string): { address: Address; port: number } {
  const colon = text.lastIndexOf(":");
  return {
    address: addressOf(text.slice(0, colon).replace(/^\[|\]$/g, "")),
    port: Number(text.slice(colon + 1)),
  };
}
