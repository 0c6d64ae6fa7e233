import {
  type Address,
  type Cidr,
  cidrOf,
  compareAddresses,
  contains,
  familyOf,
  hostCidr,
  isLinkLocal,
  isLoopback,
  isUnspecified,
  LOOPBACK,
  normaliseCidrs,
  sameCidr,
} from "../net/address.ts";
import { FAMILIES, type Family } from "../net/protocol.ts";
import type { Node } from "../objects/objects.ts";
import type { LocalTraffic, NodeSettings, TrafficMetrics } from "./plan.ts";
import { sameList } from "../objects/equality.ts";

/** The part of the configuration that the settings of a node depend on. */
export interface NodeConfiguration {
  readonly detectLocal: DetectLocal;
  readonly masqueradeAll: boolean;
  /** 0-31. */
  readonly masqueradeBit: number;
  /** Ranges of addresses where node ports answer: docs/behaviour.md §4.4. Not empty. */
  readonly nodePortAddresses: readonly NodePortRange[];
  /**
   * True when node ports also answer on IPv4 loopback addresses within the ranges: docs/behaviour.md §4.5.
   */
  readonly localhostNodePorts: boolean;
  /**
   * True when the mode serves node ports address by address, and so needs the addresses of all interfaces.
   */
  readonly listsInterfaceAddresses: boolean;
  readonly trafficMetrics: TrafficMetrics;
}

/** How traffic from this node's pods is recognised: docs/behaviour.md §4.2. */
export type DetectLocal =
  /** At most one range per family. Without a range of a family, its local traffic is not recognised. */
  | { readonly mode: "ClusterCIDR"; readonly clusterCidrs: readonly Cidr[] }
  | { readonly mode: "NodeCIDR" }
  | { readonly mode: "BridgeInterface"; readonly bridgeInterface: string }
  | { readonly mode: "InterfaceNamePrefix"; readonly interfaceNamePrefix: string };

export type NodePortRange = Cidr | "primary" | "localhost" | "all";

/** Facts about the node and the cluster that the settings depend on. */
export interface NodeFacts {
  readonly node: Node | undefined;
  readonly nodeAddresses: NodeAddresses;
  /** Addresses of all interfaces of the node, both families. */
  readonly interfaceAddresses: readonly Address[];
  readonly serviceCidrs: readonly Cidr[];
}

export function deriveNodeSettings(
  family: Family,
  configuration: NodeConfiguration,
  facts: NodeFacts,
): NodeSettings {
  const answering = nodePortAddresses(family, configuration, facts);
  const localhostNodePorts = configuration.localhostNodePorts && family === "IPv4" &&
    coversLoopback(nodePortRanges(family, configuration, facts.nodeAddresses[family]));
  return {
    family,
    localTraffic: localTraffic(family, configuration.detectLocal, facts.node),
    masqueradeAll: configuration.masqueradeAll,
    // A power instead of a shift, because a shift by 31 bits would be negative.
    masqueradeMark: 2 ** configuration.masqueradeBit,
    nodePorts: answering.isAll && configuration.listsInterfaceAddresses
      ? answering.addresses.filter((address) => !isLoopback(address) && !isLinkLocal(address))
      : ruleAddresses(answering, localhostNodePorts),
    interfaceAddresses: configuration.listsInterfaceAddresses
      ? addressesOf(family, facts).filter((address) =>
        !isAutomatic(address) || answering.addresses.includes(address)
      )
      : [],
    localhostNodePorts,
    serviceCidrs: normaliseCidrs(facts.serviceCidrs.filter((cidr) => familyOf(cidr.address) === family)),
    trafficMetrics: configuration.trafficMetrics,
  };
}

/** True when changing from `a` to `b` needs no backend work. */
export function sameSettings(a: NodeSettings, b: NodeSettings): boolean {
  return a.family === b.family &&
    a.masqueradeAll === b.masqueradeAll &&
    a.masqueradeMark === b.masqueradeMark &&
    sameLocalTraffic(a.localTraffic, b.localTraffic) &&
    sameNodePorts(a.nodePorts, b.nodePorts) &&
    sameList(a.interfaceAddresses, b.interfaceAddresses, (one, other) => one === other) &&
    a.localhostNodePorts === b.localhostNodePorts &&
    a.trafficMetrics === b.trafficMetrics &&
    sameList(a.serviceCidrs, b.serviceCidrs, sameCidr);
}

function localTraffic(
  family: Family,
  detectLocal: DetectLocal,
  node: Node | undefined,
): LocalTraffic {
  switch (detectLocal.mode) {
    case "ClusterCIDR":
      return firstOf(family, detectLocal.clusterCidrs);
    case "NodeCIDR":
      return firstOf(family, node?.podCidrs ?? []);
    case "BridgeInterface":
      return { mode: "interface", name: detectLocal.bridgeInterface };
    case "InterfaceNamePrefix":
      return { mode: "interface-prefix", prefix: detectLocal.interfaceNamePrefix };
  }
}

function firstOf(family: Family, cidrs: readonly Cidr[]): LocalTraffic {
  const cidr = cidrs.find(({ address }) => familyOf(address) === family);
  return cidr === undefined ? { mode: "none" } : { mode: "cidr", cidr };
}

/** Addresses where node ports answer, per family. */
export type NodePortAddresses = Readonly<
  Record<Family, {
    /** True when the ranges include every address of the node. */
    readonly isAll: boolean;
    /** Addresses of the node's interfaces within the ranges, sorted. */
    readonly addresses: readonly Address[];
  }>
>;

/**
 * Returns where node ports answer. A family that the configuration does not mention behaves like "all", even if
 * the other family has ranges.
 */
export function nodePortAddresses(
  family: Family,
  configuration: Pick<NodeConfiguration, "nodePortAddresses">,
  facts: Pick<NodeFacts, "nodeAddresses" | "interfaceAddresses">,
): NodePortAddresses[Family] {
  const ranges = nodePortRanges(family, configuration, facts.nodeAddresses[family]);
  const isAll = ranges.some(({ prefix }) => prefix === 0);
  const addresses = addressesOf(family, facts);
  const answering = addresses.filter((address) => ranges.some((range) => contains(range, address)));
  return { isAll, addresses: isAll ? addresses.filter((address) => !isAutomatic(address)) : answering };
}

/**
 * Reports whether an interface has this address without being given one. Every veth has one, so settings that contained
 * them would change with every pod that comes or goes. Node ports answer on them only if a range names them.
 */
function isAutomatic(address: Address): boolean {
  return familyOf(address) === "IPv6" && isLinkLocal(address);
}

function addressesOf(
  family: Family,
  { interfaceAddresses }: Pick<NodeFacts, "interfaceAddresses">,
): readonly Address[] {
  const addresses = interfaceAddresses.filter((address) => familyOf(address) === family);
  return [...new Set(addresses)].sort(compareAddresses);
}

/**
 * A keyword concerns both families. A family whose primary address is not known therefore has no range, and its
 * node ports answer nowhere: unknown is not unrestricted.
 */
function nodePortRanges(
  family: Family,
  { nodePortAddresses }: Pick<NodeConfiguration, "nodePortAddresses">,
  nodeAddress: Address,
): readonly Cidr[] {
  const ofFamily = nodePortAddresses.filter((range) =>
    typeof range === "string" || familyOf(range.address) === family
  );
  if (ofFamily.length === 0) return expand("all", family, nodeAddress);
  return ofFamily.flatMap((range) => typeof range === "string" ? expand(range, family, nodeAddress) : range);
}

/** Reports whether node ports may answer on IPv4 loopback addresses, as far as it is known without the Node. */
export function wantsLocalhostNodePorts(
  { localhostNodePorts, nodePortAddresses }: Pick<
    NodeConfiguration,
    "localhostNodePorts" | "nodePortAddresses"
  >,
): boolean {
  const ranges = nodePortAddresses.filter((range) =>
    typeof range === "string" || familyOf(range.address) === "IPv4"
  );
  const covers = (range: NodePortRange) =>
    typeof range === "string" ? range !== "primary" : coversLoopback([range]);
  // A family without a range behaves like "all".
  return localhostNodePorts && (ranges.length === 0 || ranges.some(covers));
}

/**
 * Families of which a range is made for loopback addresses. Unlike in mode iptables, a range that contains them among
 * others does not count (docs/behaviour.md §5.2).
 */
export function loopbackFamilies(ranges: readonly NodePortRange[]): readonly Family[] {
  return FAMILIES.filter((family) =>
    ranges.some((range) =>
      typeof range === "string"
        ? range === "localhost"
        : range.prefix > 0 && isLoopback(range.address) && familyOf(range.address) === family
    )
  );
}

function coversLoopback(ranges: readonly Cidr[]): boolean {
  return ranges.some((range) => isLoopback(range.address) || contains(range, LOOPBACK.IPv4));
}

/**
 * Leaves out loopback addresses unless they are configured, because node ports on them need more than a rule.
 */
function ruleAddresses(
  { isAll, addresses }: NodePortAddresses[Family],
  localhostNodePorts: boolean,
): NodeSettings["nodePorts"] {
  return isAll ? "all" : addresses.filter((address) => localhostNodePorts || !isLoopback(address));
}

function expand(
  keyword: "primary" | "localhost" | "all",
  family: Family,
  nodeAddress: Address,
): readonly Cidr[] {
  switch (keyword) {
    case "primary":
      return isLoopback(nodeAddress) ? [] : [hostCidr(nodeAddress)];
    case "localhost":
      return [cidrOf(LOOPBACK[family], family === "IPv4" ? 8 : 128)];
    case "all":
      return [cidrOf(LOOPBACK[family], 0)];
  }
}

function sameLocalTraffic(a: LocalTraffic, b: LocalTraffic): boolean {
  switch (a.mode) {
    case "none":
      return b.mode === "none";
    case "cidr":
      return b.mode === "cidr" && sameCidr(a.cidr, b.cidr);
    case "interface":
      return b.mode === "interface" && a.name === b.name;
    case "interface-prefix":
      return b.mode === "interface-prefix" && a.prefix === b.prefix;
  }
}

function sameNodePorts(a: NodeSettings["nodePorts"], b: NodeSettings["nodePorts"]): boolean {
  return a === "all" || b === "all" ? a === b : sameList(a, b, (one, other) => one === other);
}

/** Addresses of this node. A family without an address has the loopback address. */
export interface NodeAddresses {
  readonly primary: Family;
  readonly IPv4: Address;
  readonly IPv6: Address;
}

/**
 * Detects the node's addresses: docs/behaviour.md §1.5. The Node object's addresses take precedence over
 * loopback addresses. The configured bind address takes precedence over both, and makes its family the
 * primary one.
 */
export function detectNodeAddresses(
  node: Node | undefined,
  bindAddress: Address | undefined,
): NodeAddresses {
  const known = node?.addresses ?? [];
  // The first address of a family counts, and the first of all makes its family the primary one.
  const own = bindAddress === undefined || isUnspecified(bindAddress) ? known : [bindAddress, ...known];
  const firstOf = (family: Family) => own.find((address) => familyOf(address) === family) ?? LOOPBACK[family];
  const [first] = own;
  return {
    primary: first === undefined ? "IPv4" : familyOf(first),
    IPv4: firstOf("IPv4"),
    IPv6: firstOf("IPv6"),
  };
}
