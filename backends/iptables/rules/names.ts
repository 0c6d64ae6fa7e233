import type { ServicePortPlan } from "../../../core/plan/plan.ts";
import { printedName } from "../../../core/plan/plan_key.ts";
import { nameHash } from "../../name_hash.ts";
import type { SharedChain, TableName } from "./layout.ts";

// The names of upstream's chains (docs/behaviour.md §5.1). Some exist in two tables and mean two things.
export const KUBE_SERVICES = "KUBE-SERVICES";
export const KUBE_EXTERNAL_SERVICES = "KUBE-EXTERNAL-SERVICES";
export const KUBE_NODEPORTS = "KUBE-NODEPORTS";
export const KUBE_PROXY_FIREWALL = "KUBE-PROXY-FIREWALL";
export const KUBE_FORWARD = "KUBE-FORWARD";
export const KUBE_POSTROUTING = "KUBE-POSTROUTING";
export const KUBE_MARK_MASQ = "KUBE-MARK-MASQ";
export const KUBE_PROXY_CANARY = "KUBE-PROXY-CANARY";
/** Written to by kubelet as well, so never ours to delete. */
export const KUBE_FIREWALL = "KUBE-FIREWALL";

/** Counters of the kernel that rules count in by name (`-m nfacct`). */
export const CT_STATE_INVALID_DROPPED = "ct_state_invalid_dropped_pkts";
export const LOCALHOST_NODE_PORTS_ACCEPTED = "localhost_nps_accepted_pkts";

/** From a service's addresses to its chains. */
export const natServices: SharedChain = { table: "nat", name: KUBE_SERVICES };
/** From node ports to the chains of their services. */
export const natNodePorts: SharedChain = { table: "nat", name: KUBE_NODEPORTS };
/** Refuses what goes to cluster IPs without endpoints. */
export const filterServices: SharedChain = { table: "filter", name: KUBE_SERVICES };
/** Refuses what goes to external addresses and node ports without endpoints. */
export const filterExternalServices: SharedChain = { table: "filter", name: KUBE_EXTERNAL_SERVICES };
/** Lets in who asks for the health of a service. */
export const filterNodePorts: SharedChain = { table: "filter", name: KUBE_NODEPORTS };
/** Drops what a load balancer's source ranges do not admit. */
export const filterProxyFirewall: SharedChain = { table: "filter", name: KUBE_PROXY_FIREWALL };

/** Chains that no service port has for itself. */
const topLevelChains: Readonly<Record<TableName, ReadonlySet<string>>> = {
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

/** Chains that upstream has in mode ipvs alone (docs/behaviour.md §5.3): we remove them, and have none of them. */
const chainsOfModeIpvs: Readonly<Record<TableName, ReadonlySet<string>>> = {
  filter: new Set([
    "KUBE-NODE-PORT",
    "KUBE-SOURCE-RANGES-FIREWALL",
    "KUBE-IPVS-FILTER",
    "KUBE-IPVS-OUT-FILTER",
  ]),
  nat: new Set(["KUBE-NODE-PORT", "KUBE-LOAD-BALANCER"]),
  mangle: new Set(),
};

/** `socket` is the endpoint as `10.1.0.1:80` or `[fd00::1]:80`. */
export function endpointChainAt(identity: string, socket: string): string {
  return "KUBE-SEP-" + nameHash(identity + socket);
}

/** What the names of a service port's chains are made from. */
export function chainIdentity(plan: ServicePortPlan): string {
  return printedName(plan) + plan.protocol.toLowerCase();
}

/** Any chain of a service port, ours or upstream's. */
export function isServiceChain(name: string): boolean {
  return /^KUBE-(SVC|SVL|EXT|FW|SEP)-[A-Z2-7]{16}$/.test(name);
}

/** Whether upstream in mode ipvs made the chain, and nothing of this mode needs it. */
export function isChainOfModeIpvs(table: TableName, name: string): boolean {
  return chainsOfModeIpvs[table].has(name);
}

/** Whether the chain is this mode's, here or upstream's, or one of upstream's mode ipvs: ours to replace and delete. */
export function isOurChain(table: TableName, name: string): boolean {
  return topLevelChains[table].has(name) || table === "nat" && isServiceChain(name) ||
    isChainOfModeIpvs(table, name);
}
