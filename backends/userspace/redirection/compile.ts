import { type Frontend, printedName, type Route, type ServicePortPlan } from "../../../core/plan/plan.ts";
import { REJECT_CHAIN, verdictWithoutEndpoints } from "../../nf_tables/refusal_chains.ts";
import type { Element } from "../../nf_tables/set/element.ts";
import {
  NO_ENDPOINT_NODEPORTS,
  NO_ENDPOINT_SERVICES,
  NODEPORT_IPS,
  SERVICE_IPS,
  SERVICE_NODEPORTS,
} from "../../nf_tables/set/frontends.ts";
import { endpointValue, frontendKey, portKey, protocolByte } from "../../nf_tables/set/keys.ts";
import { PlanElements } from "../../nf_tables/set/plan_elements.ts";
import { CLUSTER_IPS } from "../../nf_tables/set/shared.ts";
import { truncatedComment } from "../../nf_tables/userdata.ts";
import { RELAY_CHAIN, RELAY_INSIDE_CHAIN } from "./chains.ts";
import { LISTENERS, RELAY_PORTS } from "./sets.ts";
import { type RedirectionSettings, RELAYED_PROTOCOLS, SIDES } from "./target.ts";

/**
 * The elements of one service port. Equal plans and settings give equal elements, so that an update is the difference of
 * two calls. A key appears once, even if the plan repeats it.
 */
export function elementsOf(plan: ServicePortPlan, { serviceCidrs }: RedirectionSettings): readonly Element[] {
  const elements = new PlanElements();
  const comment = truncatedComment(printedName(plan));
  for (const frontend of plan.frontends) {
    const [services, noEndpoint] = frontend.kind === "NodePort"
      ? [SERVICE_NODEPORTS, NO_ENDPOINT_NODEPORTS]
      : [SERVICE_IPS, NO_ENDPOINT_SERVICES];
    const key = frontendKey(plan, frontend);
    if (elements.claim(services, key)) {
      const chain = chainOf(plan, routeOf(plan, frontend));
      if (chain !== undefined) elements.push(services, key, chain, comment);
      const verdict = verdictWithout(plan, routeOf(plan, frontend));
      if (verdict !== undefined) elements.push(noEndpoint, key, verdict, comment);
      if (frontend.kind === "ClusterIP") elements.push(CLUSTER_IPS, frontend.address, "", "");
    }
    if (frontend.kind === "LoadBalancerIP") elements.restrict(key, plan.sourceRanges);
  }
  elements.addEndpointsIn(serviceCidrs, plan);
  return elements.list;
}

/** The elements of the table that depend on the node only. */
export function nodeElements({ nodePorts, target, listeners }: RedirectionSettings): readonly Element[] {
  const addresses = nodePorts === "all" ? [] : nodePorts;
  const ports = RELAYED_PROTOCOLS.flatMap((protocol) => {
    const numbers = new Set(SIDES.map((side) => listeners[side][protocol]));
    return [...numbers].map((port) => portKey(protocol, port));
  });
  return [
    ...addresses.map((address) => ({ set: NODEPORT_IPS, key: address, value: "", comment: "" })),
    ...SIDES.flatMap((side) =>
      RELAYED_PROTOCOLS.map((protocol) => ({
        set: LISTENERS[side],
        key: protocolByte(protocol),
        value: endpointValue(target, listeners[side][protocol]),
        comment: "",
      }))
    ),
    ...ports.map((key) => ({ set: RELAY_PORTS, key, value: "", comment: "" })),
  ];
}

/** The route of a connection to a frontend. */
export function routeOf({ internal, external }: ServicePortPlan, { kind }: Frontend): Route {
  return kind === "ClusterIP" ? internal : external;
}

/** The chain for new connections. Undefined if the relay serves none of them. */
function chainOf({ protocol, localEndpoints }: ServicePortPlan, { verdict }: Route): string | undefined {
  // The relay does not know the protocol.
  if (protocol === "SCTP") return undefined;
  switch (verdict) {
    case "balance":
      return RELAY_CHAIN;
    case "local-external":
      return localEndpoints.length === 0 ? RELAY_INSIDE_CHAIN : RELAY_CHAIN;
    case "reject":
    case "drop":
      return undefined;
  }
}

/** The chain for connections that do not go to the relay. Undefined if all of them do. */
function verdictWithout(plan: ServicePortPlan, route: Route): string | undefined {
  return plan.protocol === "SCTP" ? REJECT_CHAIN : verdictWithoutEndpoints(plan, route);
}
