import type { RefusalReason } from "../../../core/backend/traffic.ts";
import type { NodeSettings, Route, ServicePortPlan } from "../../../core/plan/plan.ts";
import { sameFrontends, sameRoute, sameSourceRanges } from "../../../core/plan/same_plan.ts";
import type { RuleTraffic, ServiceRules, SharedChain, SharedRule } from "./layout.ts";
import {
  FILTER_EXTERNAL_SERVICES,
  FILTER_NODE_PORTS,
  FILTER_PROXY_FIREWALL,
  FILTER_SERVICES,
  LOCALHOST_NODE_PORTS_ACCEPTED,
  NAT_NODE_PORTS,
  NAT_SERVICES,
} from "./names.ts";
import {
  accept,
  comment,
  dport,
  drop,
  inRange,
  type IptablesRule,
  jump,
  LOOPBACK_RANGES,
  reject,
  type Target,
  toThisNode,
} from "./rule.ts";
import { serviceChains } from "./service_chains.ts";
import { type AddressFrontend, frontendRule, type ServicePort, servicePort } from "./service_port.ts";

/** Inputs of a service port's rules besides its plan. */
export interface CompileContext {
  readonly settings: NodeSettings;
  /** The cluster has so many endpoints that rules omit the comments that concern a single endpoint. */
  readonly isLarge: boolean;
  /** The counters that `-m nfacct` names exist. */
  readonly nfacct: boolean;
}

/**
 * Compiles the rules of one service port, which are kube-proxy's (docs/behaviour.md §5.1). Equal plans give
 * equal rules, so that an update is the difference of two calls.
 */
export function compile(plan: ServicePortPlan, context: CompileContext): ServiceRules {
  const port = servicePort(plan);
  return { chains: serviceChains(port, context), shared: compileShared(port, context) };
}

/** Like `compile`, without the rules in shared chains. */
export function compileChains(plan: ServicePortPlan, context: CompileContext): ServiceRules {
  return { chains: serviceChains(servicePort(plan), context), shared: [] };
}

/**
 * Reports whether both plans of a service port have the same rules in shared chains, of which there are several
 * for each frontend.
 */
export function haveSameSharedRules(old: ServicePortPlan, next: ServicePortPlan): boolean {
  return old.localEndpoints.length > 0 === next.localEndpoints.length > 0 &&
    old.healthCheckNodePort === next.healthCheckNodePort &&
    sameRoute(old.internal, next.internal) && sameRoute(old.external, next.external) &&
    sameFrontends(old, next) && sameSourceRanges(old, next);
}

/** Like `compile`, without the chains of the service port. */
export function compileSharedRules(plan: ServicePortPlan, context: CompileContext): readonly SharedRule[] {
  return compileShared(servicePort(plan), context);
}

function compileShared(port: ServicePort, context: CompileContext): readonly SharedRule[] {
  const { plan } = port;
  const shared = new SharedRules();
  for (const frontend of plan.frontends) {
    if (frontend.kind === "ClusterIP") addClusterIP(shared, port, frontend);
    else if (frontend.kind === "NodePort") addNodePort(shared, port, frontend.port, context);
    else addExternalAddress(shared, port, frontend);
  }
  if (plan.healthCheckNodePort > 0) shared.add(FILTER_NODE_PORTS, healthCheckRule(port));
  return shared.list;
}

class SharedRules {
  readonly list: SharedRule[] = [];

  add(chain: SharedChain, rule: IptablesRule, counts?: RuleTraffic): void {
    this.list.push({ chain, rule, counts });
  }
}

function addClusterIP(shared: SharedRules, port: ServicePort, frontend: AddressFrontend): void {
  const { name, internalChain, plan } = port;
  if (internalChain !== undefined) {
    const rule = frontendRule(port, frontend, `${name} cluster IP`, jump(internalChain));
    shared.add(NAT_SERVICES, rule, { frontend: frontend.kind, as: "dispatched" });
  }
  const verdict = filterVerdict(port, plan.internal);
  if (verdict !== undefined) {
    const rule = frontendRule(port, frontend, verdict.comment, verdict.target);
    shared.add(FILTER_SERVICES, rule, { frontend: frontend.kind, as: verdict.reason });
  }
}

function addExternalAddress(shared: SharedRules, port: ServicePort, frontend: AddressFrontend): void {
  const { name, chains, plan } = port;
  const isBalancer = frontend.kind === "LoadBalancerIP";
  const isFirewalled = isBalancer && port.isFirewalled;
  if (port.isReachedFromOutside) {
    const text = `${name} ${isBalancer ? "loadbalancer" : "external"} IP`;
    const target = jump(isFirewalled ? chains.firewall : chains.external);
    const rule = frontendRule(port, frontend, text, target);
    shared.add(NAT_SERVICES, rule, { frontend: frontend.kind, as: "dispatched" });
  }
  if (isFirewalled) {
    const text = `${name} traffic not accepted by ${chains.firewall}`;
    const rule = frontendRule(port, frontend, text, drop);
    shared.add(FILTER_PROXY_FIREWALL, rule, { frontend: frontend.kind, as: "source-range" });
  }
  const verdict = filterVerdict(port, plan.external);
  if (verdict !== undefined) {
    const rule = frontendRule(port, frontend, verdict.comment, verdict.target);
    shared.add(FILTER_EXTERNAL_SERVICES, rule, { frontend: frontend.kind, as: verdict.reason });
  }
}

function addNodePort(
  shared: SharedRules,
  port: ServicePort,
  nodePort: number,
  context: CompileContext,
): void {
  const { name, plan: { protocol, external } } = port;
  const toNodePort = dport(nodePort);
  if (port.isReachedFromOutside) {
    const matches = [comment(name), toNodePort];
    const target = jump(port.chains.external);
    if (context.nfacct && context.settings.localhostNodePorts) {
      const counter = { match: "nfacct", name: LOCALHOST_NODE_PORTS_ACCEPTED } as const;
      const destination = inRange(LOOPBACK_RANGES.IPv4);
      const rule = { destination, protocol, matches: [...matches, counter], target };
      shared.add(NAT_NODE_PORTS, rule, { frontend: "NodePort", as: "dispatched" });
    }
    shared.add(NAT_NODE_PORTS, { protocol, matches, target }, { frontend: "NodePort", as: "dispatched" });
  }
  const verdict = filterVerdict(port, external);
  if (verdict !== undefined) {
    const matches = [comment(verdict.comment), toThisNode, toNodePort];
    const rule = { protocol, matches, target: verdict.target };
    shared.add(FILTER_EXTERNAL_SERVICES, rule, { frontend: "NodePort", as: verdict.reason });
  }
}

/** Health checks use TCP, independently of the service's protocol. */
function healthCheckRule({ name, plan }: ServicePort): IptablesRule {
  const matches = [comment(`${name} health check node port`), dport(plan.healthCheckNodePort)];
  return { protocol: "TCP", matches, target: accept };
}

interface FilterVerdict {
  readonly reason: RefusalReason;
  readonly comment: string;
  readonly target: Target;
}

/**
 * The verdict of table filter on connections that get no endpoint; undefined if every connection gets one.
 */
function filterVerdict({ name, plan }: ServicePort, route: Route): FilterVerdict | undefined {
  switch (route.verdict) {
    case "balance":
      return undefined;
    case "local-external":
      return plan.localEndpoints.length === 0 ? noLocalEndpoints(name) : undefined;
    case "reject":
      return { reason: "no-endpoints", comment: `${name} has no endpoints`, target: reject };
    case "drop":
      return noLocalEndpoints(name);
  }
}

function noLocalEndpoints(name: string): FilterVerdict {
  return { reason: "no-local-endpoints", comment: `${name} has no local endpoints`, target: drop };
}
