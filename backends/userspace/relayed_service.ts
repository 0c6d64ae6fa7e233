import type { Route, ServicePortPlan } from "../../core/plan/plan.ts";
import { routeOf } from "./redirection/compile.ts";
import type { EndpointList, RelayedFrontend, RelayedService } from "./relay/messages.ts";
import { packEndpoints } from "./relay/endpoints/packed_endpoints.ts";

/**
 * The service port as the relay knows it. Undefined if the relay does not serve it, because of its protocol or because
 * all its frontends refuse connections. There are no source ranges: they restrict load-balancer IPs only, and the kernel
 * checks them before it redirects (docs/behaviour.md §4.6).
 */
export function relayedServiceOf(plan: ServicePortPlan): RelayedService | undefined {
  const { key, family, protocol, affinitySeconds, clusterEndpoints, localEndpoints, servingEndpoints } = plan;
  if (protocol === "SCTP") return undefined;
  const frontends = plan.frontends.flatMap((frontend): readonly RelayedFrontend[] => {
    const lists = listsOf(plan, routeOf(plan, frontend));
    if (lists.inside === "none") return [];
    const { kind, port } = frontend;
    return [{ kind, address: frontend.kind === "NodePort" ? undefined : frontend.address, port, ...lists }];
  });
  if (frontends.length === 0) return undefined;
  return {
    key,
    family,
    protocol,
    frontends,
    cluster: packEndpoints(clusterEndpoints),
    local: packEndpoints(localEndpoints),
    serving: protocol === "UDP" ? packEndpoints(servingEndpoints) : "",
    affinitySeconds,
    proxyProtocol: plan.proxyProtocol === true,
  };
}

/** The service ports that the relay serves, made one by one. */
export function* relayedServicesOf(plans: Iterable<ServicePortPlan>): Generator<RelayedService> {
  for (const plan of plans) {
    const service = relayedServiceOf(plan);
    if (service !== undefined) yield service;
  }
}

/** The endpoints that connections of each side are balanced over (docs/behaviour.md §4.3). */
function listsOf(
  { localEndpoints }: ServicePortPlan,
  route: Route,
): { readonly inside: EndpointList; readonly outside: EndpointList } {
  switch (route.verdict) {
    case "balance":
      return { inside: route.to, outside: route.to };
    case "local-external":
      return { inside: "cluster", outside: localEndpoints.length === 0 ? "none" : "local" };
    case "reject":
    case "drop":
      return { inside: "none", outside: "none" };
  }
}
