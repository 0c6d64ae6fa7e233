import { formatSocketAddress } from "../../../../core/net/address.ts";
import type { Endpoint, ServicePortPlan } from "../../../../core/plan/plan.ts";
import { chainIdentity, endpointChainAt } from "../../../../backends/iptables/rules/names.ts";
import { nameHash } from "../../../../backends/name_hash.ts";

/**
 * A chain of a service port: all endpoints, endpoints of this node, traffic from outside, or source ranges.
 */
export function serviceChain(
  prefix: "KUBE-SVC-" | "KUBE-SVL-" | "KUBE-EXT-" | "KUBE-FW-",
  plan: ServicePortPlan,
): string {
  return prefix + nameHash(chainIdentity(plan));
}

/** The chain of one endpoint of a service port. */
export function endpointChain(plan: ServicePortPlan, { address, port }: Endpoint): string {
  return endpointChainAt(chainIdentity(plan), formatSocketAddress(address, port));
}
