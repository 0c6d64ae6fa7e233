import { hash } from "node:crypto";
import { formatSocketAddress } from "../../core/model/address.ts";
import type { Endpoint, ServicePortPlan } from "../../core/model/plan.ts";
import { printedName } from "../../core/model/plan_key.ts";
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

/** Chains of a service port: to the cluster's endpoints, to those of this node, from outside, by source range. */
export type ServiceChainPrefix = "KUBE-SVC-" | "KUBE-SVL-" | "KUBE-EXT-" | "KUBE-FW-";

export function serviceChain(prefix: ServiceChainPrefix, plan: ServicePortPlan): string {
  return prefix + chainSuffix(chainIdentity(plan));
}

/** The chain that sends to one endpoint of a service port. */
export function endpointChain(plan: ServicePortPlan, { address, port }: Endpoint): string {
  return endpointChainAt(chainIdentity(plan), formatSocketAddress(address, port));
}

/** `socket` is the endpoint as `10.1.0.1:80` or `[fd00::1]:80`. */
export function endpointChainAt(identity: string, socket: string): string {
  return "KUBE-SEP-" + chainSuffix(identity + socket);
}

/** What the names of a service port's chains are made from. */
export function chainIdentity(plan: ServicePortPlan): string {
  return printedName(plan) + plan.protocol.toLowerCase();
}

/**
 * 80 bits of the SHA-256, as 16 digits. A service of ten endpoints has eleven and more, so speed matters: 110,000 took
 * 0.13 s this way, 0.16 s with `createHash`, 0.33 s with a SHA-256 in JavaScript.
 */
export function chainSuffix(identity: string): string {
  const hex = hash("sha256", identity, "hex");
  const [a, b, c, d] = [twentyBits(hex, 0), twentyBits(hex, 5), twentyBits(hex, 10), twentyBits(hex, 15)];
  // deno-fmt-ignore
  return String.fromCharCode(
    digit(a >> 15), digit(a >> 10), digit(a >> 5), digit(a), digit(b >> 15), digit(b >> 10), digit(b >> 5), digit(b),
    digit(c >> 15), digit(c >> 10), digit(c >> 5), digit(c), digit(d >> 15), digit(d >> 10), digit(d >> 5), digit(d),
  );
}

/** Any chain of a service port, ours or upstream's. */
export function isServiceChain(name: string): boolean {
  return /^KUBE-(SVC|SVL|EXT|FW|SEP)-[A-Z2-7]{16}$/.test(name);
}

/** Whether this mode, here or upstream's, owns the chain: may replace and delete it. */
export function isOurChain(table: TableName, name: string): boolean {
  return topLevelChains[table].has(name) || table === "nat" && isServiceChain(name);
}

const base32Digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"; // RFC 4648 §6

/** The character code of the digit for the lowest five bits. */
function digit(bits: number): number {
  return base32Digits.charCodeAt(bits & 31);
}

/** The value of five hexadecimal digits, which are four of base 32. */
function twentyBits(hex: string, start: number): number {
  let bits = 0;
  for (let index = start; index < start + 5; index++) bits = bits << 4 | hexDigit(hex.charCodeAt(index));
  return bits;
}

function hexDigit(code: number): number {
  return code < 0x3a ? code - 0x30 : code - 0x57; // "0" to "9", "a" to "f"
}
