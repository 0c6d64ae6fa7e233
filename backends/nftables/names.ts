import { formatAddress } from "../../core/net/address.ts";
import type { Endpoint, ServicePortPlan } from "../../core/plan/plan.ts";
import { nameHash } from "../name_hash.ts";
import type { Table } from "../nf_tables/batch.ts";

/**
 * Name and comment are those of kube-proxy, so that each program replaces the other's tables in one
 * transaction.
 */
export const TABLE: Table = { name: "kube-proxy", comment: "rules for kube-proxy" };

/**
 * Prefixes of kube-proxy's chains per service (docs/behaviour.md §5.2), which we use for session affinity.
 */
export type ServiceChainPrefix = "service" | "local" | "external";

/** kube-proxy's limit, because names must agree. The kernel's is 255. */
const MAX_BASE_LENGTH = 240;

export function serviceChain(prefix: ServiceChainPrefix, plan: ServicePortPlan): string {
  return `${prefix}-${base(identityOf(plan))}`;
}

export function endpointChain(plan: ServicePortPlan, endpoint: Endpoint): string {
  return `endpoint-${base(endpointIdentity(plan, endpoint))}`;
}

export function affinitySetName(plan: ServicePortPlan, endpoint: Endpoint): string {
  return `affinity-${base(endpointIdentity(plan, endpoint))}`;
}

/**
 * Reports whether a chain or set belongs to one service port, in our tables or kube-proxy's: only their names
 * have a slash.
 */
export function isServiceChain(name: string): boolean {
  return name.includes("/");
}

function identityOf({ namespace, name, protocol, portName }: ServicePortPlan): string {
  return `${namespace}/${name}/${protocol.toLowerCase()}/${portName}`;
}

function endpointIdentity(plan: ServicePortPlan, { address, port }: Endpoint): string {
  const nftSafe = formatAddress(address).replaceAll(":", ".");
  return `${identityOf(plan)}__${nftSafe}/${port}`;
}

function base(identity: string): string {
  const name = `${nameHash(identity).slice(0, 8)}-${identity}`;
  return name.length > MAX_BASE_LENGTH ? `${name.slice(0, MAX_BASE_LENGTH - 3)}...` : name;
}
