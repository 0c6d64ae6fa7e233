import type { NodeSettings, Route, ServicePortPlan } from "../../../core/plan/plan.ts";
import type { ServiceRules, SharedChain, SharedRule } from "./layout.ts";
import {
  filterExternalServices,
  filterNodePorts,
  filterProxyFirewall,
  filterServices,
  LOCALHOST_NODE_PORTS_ACCEPTED,
  natNodePorts,
  natServices,
} from "./names.ts";
import type { Rule, Target } from "./rule.ts";
import { accept, comment, dport, drop, inRange, jump, loopbackRanges, reject, toThisNode } from "./parts.ts";
import { serviceChains } from "./service_chains.ts";
import { type AddressFrontend, frontendRule, type ServicePort, servicePort } from "./service_port.ts";

/** What the rules of a service port depend on besides its plan. */
export interface CompileContext {
  readonly settings: NodeSettings;
  /** The cluster has so many endpoints that the comments that name one are left out. */
  readonly isLarge: boolean;
  /** The counters that `-m nfacct` can name exist. */
  readonly nfacct: boolean;
}

/**
 * The rules of one service port as upstream writes them (docs/behaviour.md §5.1). The same plan gives the same rules,
 * so that an update is the difference of two calls.
 */
export function compile(plan: ServicePortPlan, context: CompileContext): ServiceRules {
  const port = servicePort(plan);
  const shared = new SharedRules();
  for (const frontend of plan.frontends) {
    if (frontend.kind === "ClusterIP") addClusterIP(shared, port, frontend);
    else if (frontend.kind === "NodePort") addNodePort(shared, port, frontend.port, context);
    else addExternalAddress(shared, port, frontend);
  }
  if (plan.healthCheckNodePort > 0) shared.add(filterNodePorts, healthCheckRule(port));
  return { chains: serviceChains(port, context), shared: shared.list };
}

class SharedRules {
  readonly list: SharedRule[] = [];

  add(chain: SharedChain, rule: Rule): void {
    this.list.push({ chain, rule });
  }
}

function addClusterIP(shared: SharedRules, port: ServicePort, frontend: AddressFrontend): void {
  const { name, internalChain, plan } = port;
  if (internalChain !== undefined) {
    shared.add(natServices, frontendRule(port, frontend, `${name} cluster IP`, jump(internalChain)));
  }
  const refusal = refusalOf(port, plan.internal);
  if (refusal) shared.add(filterServices, frontendRule(port, frontend, refusal.comment, refusal.target));
}

function addExternalAddress(shared: SharedRules, port: ServicePort, frontend: AddressFrontend): void {
  const { name, chains, plan } = port;
  const isBalancer = frontend.kind === "LoadBalancerIP";
  const isFirewalled = isBalancer && port.isFirewalled;
  if (port.isReachedFromOutside) {
    const text = `${name} ${isBalancer ? "loadbalancer" : "external"} IP`;
    const target = jump(isFirewalled ? chains.firewall : chains.external);
    shared.add(natServices, frontendRule(port, frontend, text, target));
  }
  if (isFirewalled) {
    const text = `${name} traffic not accepted by ${chains.firewall}`;
    shared.add(filterProxyFirewall, frontendRule(port, frontend, text, drop));
  }
  const refusal = refusalOf(port, plan.external);
  if (refusal) {
    shared.add(filterExternalServices, frontendRule(port, frontend, refusal.comment, refusal.target));
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
      const destination = inRange(loopbackRanges.IPv4);
      shared.add(natNodePorts, { destination, protocol, matches: [...matches, counter], target });
    }
    shared.add(natNodePorts, { protocol, matches, target });
  }
  const refusal = refusalOf(port, external);
  if (refusal) {
    const matches = [comment(refusal.comment), toThisNode, toNodePort];
    shared.add(filterExternalServices, { protocol, matches, target: refusal.target });
  }
}

/** Who asks for a service's health does so by TCP, whatever the service's protocol is. */
function healthCheckRule({ name, plan }: ServicePort): Rule {
  const matches = [comment(`${name} health check node port`), dport(plan.healthCheckNodePort)];
  return { protocol: "TCP", matches, target: accept };
}

interface Refusal {
  readonly comment: string;
  readonly target: Target;
}

/** What the filter table does with connections that no endpoint got; undefined when each gets one. */
function refusalOf({ name, plan }: ServicePort, route: Route): Refusal | undefined {
  switch (route.verdict) {
    case "balance":
      return undefined;
    case "local-external":
      return plan.localEndpoints.length === 0 ? noLocalEndpoints(name) : undefined;
    case "reject":
      return { comment: `${name} has no endpoints`, target: reject };
    case "drop":
      return noLocalEndpoints(name);
  }
}

function noLocalEndpoints(name: string): Refusal {
  return { comment: `${name} has no local endpoints`, target: drop };
}
