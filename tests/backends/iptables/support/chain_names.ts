import { formatSocketAddress } from "../../../../core/net/address.ts";
import type { Endpoint, ServicePortPlan } from "../../../../core/plan/plan.ts";
import { chainIdentity, endpointChainAt } from "../../../../backends/iptables/rules/names.ts";
import { nameHash } from "../../../../backends/name_hash.ts";

/** A chain of a service port: to the cluster's endpoints, to those of this node, from outside, by source range. */
export function serviceChain(
  prefix: "KUBE-SVC-" | "KUBE-SVL-" | "KUBE-EXT-" | "KUBE-FW-",
  plan: ServicePortPlan,
): string {
  return prefix + nameHash(chainIdentity(plan));
}

/** The chain that sends to one endpoint of a service port. */
export function endpointChain(plan: ServicePortPlan, { address, port }: Endpoint): string {
  return endpointChainAt(chainIdentity(plan), formatSocketAddress(address, port));
}
