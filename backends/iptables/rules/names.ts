import { printedName, type ServicePortPlan } from "../../../core/plan/plan.ts";
import { nameHash } from "../../name_hash.ts";
import type { SharedChain, TableName } from "./layout.ts";

// Names of kube-proxy's chains (docs/behaviour.md §5.1). Some exist in two tables, with a different purpose
// in each.
export const KUBE_SERVICES = "KUBE-SERVICES";
export const KUBE_EXTERNAL_SERVICES = "KUBE-EXTERNAL-SERVICES";
export const KUBE_NODEPORTS = "KUBE-NODEPORTS";
export const KUBE_PROXY_FIREWALL = "KUBE-PROXY-FIREWALL";
export const KUBE_FORWARD = "KUBE-FORWARD";
export const KUBE_POSTROUTING = "KUBE-POSTROUTING";
export const KUBE_MARK_MASQ = "KUBE-MARK-MASQ";
export const KUBE_PROXY_CANARY = "KUBE-PROXY-CANARY";
/** Shared with kubelet, so it is deleted only if there is no sign of kubelet. */
export const KUBE_FIREWALL = "KUBE-FIREWALL";
/** Made by kubelet and, before 1.25, by kube-proxy. We never make it. */
export const KUBE_MARK_DROP = "KUBE-MARK-DROP";

/** Kernel counters that rules name by `-m nfacct`. */
export const CT_STATE_INVALID_DROPPED = "ct_state_invalid_dropped_pkts";
export const LOCALHOST_NODE_PORTS_ACCEPTED = "localhost_nps_accepted_pkts";

/** Jumps from frontends with an address to the chains of their service port. */
export const NAT_SERVICES: SharedChain = { table: "nat", name: KUBE_SERVICES };
/** Jumps from node ports to the chains of their service port. */
export const NAT_NODE_PORTS: SharedChain = { table: "nat", name: KUBE_NODEPORTS };
/** Rejects or drops traffic to ClusterIPs without endpoints. */
export const FILTER_SERVICES: SharedChain = { table: "filter", name: KUBE_SERVICES };
/** Rejects or drops traffic to external addresses and node ports without endpoints. */
export const FILTER_EXTERNAL_SERVICES: SharedChain = { table: "filter", name: KUBE_EXTERNAL_SERVICES };
/** Accepts traffic to health-check node ports. */
export const FILTER_NODE_PORTS: SharedChain = { table: "filter", name: KUBE_NODEPORTS };
/** Drops traffic to load-balancer IPs from outside their source ranges. */
export const FILTER_PROXY_FIREWALL: SharedChain = { table: "filter", name: KUBE_PROXY_FIREWALL };

/** Chains that belong to no single service port. */
const TOP_LEVEL_CHAINS: Readonly<Record<TableName, ReadonlySet<string>>> = {
  filter: new Set([
    KUBE_SERVICES,
    KUBE_EXTERNAL_SERVICES,
    KUBE_NODEPORTS,
    KUBE_PROXY_FIREWALL,
    KUBE_FORWARD,
    KUBE_PROXY_CANARY,
  ]),
  nat: new Set([KUBE_SERVICES, KUBE_NODEPORTS, KUBE_POSTROUTING, KUBE_MARK_MASQ, KUBE_PROXY_CANARY]),
  mangle: new Set([KUBE_PROXY_CANARY]),
};

/**
 * Chains that only other modes of kube-proxy have: ipvs (docs/behaviour.md §5.3), and userspace, which 1.25 was the
 * last one to have. We remove them and never make them.
 */
const OTHER_MODES_CHAINS: Readonly<Record<TableName, ReadonlySet<string>>> = {
  filter: new Set([
    "KUBE-NODE-PORT",
    "KUBE-SOURCE-RANGES-FIREWALL",
    "KUBE-IPVS-FILTER",
    "KUBE-IPVS-OUT-FILTER",
    "KUBE-NODEPORT-NON-LOCAL",
  ]),
  nat: new Set([
    "KUBE-NODE-PORT",
    "KUBE-LOAD-BALANCER",
    // Mode ipvs before 1.27 has it. Kubelet's chain of this name is in table filter.
    KUBE_FIREWALL,
    "KUBE-PORTALS-CONTAINER",
    "KUBE-PORTALS-HOST",
    "KUBE-NODEPORT-CONTAINER",
    "KUBE-NODEPORT-HOST",
  ]),
  mangle: new Set(),
};

/**
 * The name of an endpoint's chain.
 * @param identity see `chainIdentity`.
 * @param socket the endpoint as `10.1.0.1:80` or `[fd00::1]:80`.
 */
export function endpointChainAt(identity: string, socket: string): string {
  return "KUBE-SEP-" + nameHash(identity + socket);
}

/** The text whose hash ends the names of a service port's chains. */
export function chainIdentity(plan: ServicePortPlan): string {
  return printedName(plan) + plan.protocol.toLowerCase();
}

/** Reports whether the name is that of a service port's chain, made by us or by kube-proxy (XLB: before 1.24). */
export function isServiceChain(name: string): boolean {
  return /^KUBE-(SVC|SVL|EXT|XLB|FW|SEP)-[A-Z2-7]{16}$/.test(name);
}

/** Reports whether only kube-proxy's other modes make this chain. */
export function isChainOfOtherModes(table: TableName, name: string): boolean {
  return OTHER_MODES_CHAINS[table].has(name);
}

/** Reports whether built-in chains never jump to this chain of ours, so that a jump from there is foreign. */
export function isInnerChain(name: string): boolean {
  return isServiceChain(name) || name === KUBE_MARK_MASQ || name === KUBE_MARK_DROP;
}

/**
 * Reports whether we may replace and delete the chain: kube-proxy or we made it, in any mode.
 */
export function isOurChain(table: TableName, name: string): boolean {
  return TOP_LEVEL_CHAINS[table].has(name) || table === "nat" && isServiceChain(name) ||
    isChainOfOtherModes(table, name);
}
