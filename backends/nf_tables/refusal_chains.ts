import type { NodeSettings, Route, ServicePortPlan } from "../../core/plan/plan.ts";
import * as expr from "./expressions.ts";
import type { Expression } from "./expressions.ts";
import type { TableFamily } from "./families.ts";
import {
  addressFields,
  type Chain,
  drop,
  inCidr,
  inSet,
  isNew,
  isNotDnated,
  isOfThisNode,
  jump,
  notInSet,
  portFields,
  type Rule,
  rule,
  vmap,
} from "./rules.ts";
import { NO_ENDPOINT_NODEPORTS, NO_ENDPOINT_SERVICES, NODEPORT_IPS } from "./set/frontends.ts";
import { CLUSTER_IPS, SERVICE_CIDR_ENDPOINTS } from "./set/shared.ts";
import { countIn, counts, refusedSet, UNALLOCATED } from "./traffic/counting.ts";

/** Chains of modes nftables and userspace that refuse connections, with the names of kube-proxy (docs/behaviour.md §5.2). */

/** Chain for frontends that are rejected for lack of endpoints. */
export const REJECT_CHAIN = "reject-chain";
/** Chain for frontends with a Local traffic policy that have no endpoint on this node. */
export const DROP_CHAIN = "drop-chain";

/** The chains that reject or drop, and count what they refuse. */
export function refusingChains(family: TableFamily, settings: NodeSettings): readonly Chain[] {
  return [
    {
      name: REJECT_CHAIN,
      rules: [...countIn(refusedSet("no-endpoints"), family, settings), rule([expr.reject(family)])],
    },
    {
      name: DROP_CHAIN,
      rules: [...countIn(refusedSet("no-local-endpoints"), family, settings), rule(drop)],
    },
  ];
}

/** The chains that send connections to frontends without endpoints to the refusing chains. */
export function endpointsChecks(family: TableFamily, settings: NodeSettings): readonly Chain[] {
  const toNodePort = settings.nodePorts === "all" ? notLoopback(family) : toListedNodePort(family);
  return [
    { name: "service-endpoints-check", rules: [rule(vmap(addressFields(family), NO_ENDPOINT_SERVICES))] },
    {
      name: "nodeport-endpoints-check",
      rules: [rule(toNodePort, vmap(portFields, NO_ENDPOINT_NODEPORTS))],
    },
  ];
}

/** The verdict of the filter chains for a connection that was not sent to an endpoint. */
export function verdictWithoutEndpoints(plan: ServicePortPlan, route: Route): string | undefined {
  switch (route.verdict) {
    case "balance":
      return undefined;
    case "local-external":
      return plan.localEndpoints.length === 0 ? DROP_CHAIN : undefined;
    case "reject":
      return REJECT_CHAIN;
    case "drop":
      return DROP_CHAIN;
  }
}

/** Matches destinations where node ports answer. */
export function toNodePort(family: TableFamily, { nodePorts }: NodeSettings): readonly Expression[] {
  return nodePorts === "all" ? [...isOfThisNode("daddr"), ...notLoopback(family)] : toListedNodePort(family);
}

function toListedNodePort(family: TableFamily): readonly Expression[] {
  return inSet([expr.destination(family)], NODEPORT_IPS);
}

/**
 * `ct state new ct status ! dnat jump CHAIN`: for connections that no service has sent to an endpoint. A pod may
 * have an address in a service range, and is reached through its services nevertheless. kube-proxy drops these
 * connections in mode nftables.
 */
export function jumpIfNotTranslated(chain: string): Rule {
  return rule(isNew(), isNotDnated(), jump(chain));
}

/**
 * Rejects connections to an undefined port of a ClusterIP. Drops those to the other addresses of the service
 * ranges, except to endpoints: another node may have sent the connection there.
 */
export function clusterIPsCheck(family: TableFamily, settings: NodeSettings): Rule[] {
  return [
    rule(inSet([expr.destination(family)], CLUSTER_IPS), [expr.reject(family)]),
    ...settings.serviceCidrs.map((cidr) =>
      rule(
        inCidr(expr.destination, "==", family, cidr),
        notInSet([expr.destination(family)], SERVICE_CIDR_ENDPOINTS),
        counts(settings) ? [expr.countNamed(UNALLOCATED)] : [],
        drop,
      )
    ),
  ];
}

function notLoopback(family: TableFamily): Expression[] {
  return inCidr(expr.destination, "!=", family, family.loopback);
}
