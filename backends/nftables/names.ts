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
 * Prefixes of the chains of one service port. All but "no-endpoints" are kube-proxy's (docs/behaviour.md §5.2).
 */
export type ServiceChainPrefix = "service" | "local" | "external" | "no-endpoints";

/** kube-proxy's limit, because names must agree. The kernel's is 255. */
const MAX_BASE_LENGTH = 240;

export function serviceChain(prefix: ServiceChainPrefix, plan: ServicePortPlan): string {
  return `${prefix}-${servicePortBase(identityOf(plan))}`;
}

export function endpointChain(plan: ServicePortPlan, endpoint: Endpoint): string {
  return `endpoint-${base(endpointIdentity(plan, endpoint))}`;
}

export function affinitySetName(plan: ServicePortPlan, endpoint: Endpoint): string {
  return `affinity-${base(endpointIdentity(plan, endpoint))}`;
}

/** An endpoint list of a service port. */
export type ListName = "cluster" | "local";

/** Number of ports that a map of shared lists is for. */
const PORTS_PER_LIST_MAP = 16;

/** The map with the shared lists of a service for this port and its neighbours: see shared_lists.ts. */
export function listMapName(list: ListName, { namespace, name }: ServicePortPlan, port: number): string {
  const first = port - port % PORTS_PER_LIST_MAP;
  const prefix = list === "local" ? "local-endpoints" : "endpoints";
  return `${prefix}-${listMapBase(`${namespace}/${name}/${first}-${first + PORTS_PER_LIST_MAP - 1}`)}`;
}

/**
 * Reports whether a chain or set belongs to one service, in our tables or kube-proxy's: only their names
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

/** Remembers the last base, because a change asks for the same one several times, and the hash is expensive. */
function rememberingBase(): (identity: string) => string {
  let last = { identity: "", base: "" };
  return (identity) => {
    if (last.identity !== identity) last = { identity, base: base(identity) };
    return last.base;
  };
}

const servicePortBase = rememberingBase();
const listMapBase = rememberingBase();
