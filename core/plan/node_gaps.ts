import { type Address, familyOf, formatAddress, isLoopback } from "../net/address.ts";
import type { Family } from "../net/protocol.ts";
import { sameList } from "../objects/equality.ts";
import type { NodeConfiguration, NodeFacts } from "./node_settings.ts";

/** A fact about the node that is not known, so that part of the traffic is not served as configured. */
export interface NodeGap {
  /** The consequence for traffic, as a message of the log. */
  readonly consequence: string;
  /** Message of the log when the gap is closed. */
  readonly closed: string;
  readonly families: readonly Family[];
  readonly why: string;
  /** True when this is usual, such as a node without an IPv6 address. */
  readonly isUsual: boolean;
}

export function sameGap(a: NodeGap, b: NodeGap): boolean {
  return a.consequence === b.consequence && a.why === b.why &&
    sameList(a.families, b.families, (one, other) => one === other);
}

type Configuration = Pick<NodeConfiguration, "detectLocal" | "nodePortAddresses">;
type Facts = Pick<NodeFacts, "node" | "nodeAddresses" | "interfaceAddresses">;

/** Lists what is not known of the node in the families in use, for the log. */
export function nodeGaps(
  families: readonly Family[],
  configuration: Configuration,
  facts: Facts,
): readonly NodeGap[] {
  return [
    ...primaryAddressGaps(families, configuration, facts),
    ...podCidrGaps(families, configuration, facts),
  ];
}

const NO_PRIMARY = {
  consequence: "Node ports answer on no primary address",
  closed: "Node ports answer on the primary addresses",
};
const NO_POD_CIDR = {
  consequence: "Connections from outside to ClusterIPs are not masqueraded",
  closed: "Connections from outside to ClusterIPs are masqueraded",
};

/** Gaps in the addresses that the keyword "primary" stands for. */
function* primaryAddressGaps(
  families: readonly Family[],
  { nodePortAddresses }: Configuration,
  { node, nodeAddresses, interfaceAddresses }: Facts,
): Generator<NodeGap> {
  if (!nodePortAddresses.includes("primary")) return;
  const unknown = families.filter((family) => isLoopback(nodeAddresses[family]));
  if (unknown.length > 0) {
    const isUsual = unknown.length < families.length;
    const why = node === undefined
      ? "there is no Node object of this name, or it cannot be read"
      : `the Node has no ${isUsual ? `${unknown.join(", ")} address` : "addresses"} in its status`;
    yield { ...NO_PRIMARY, families: unknown, why, isUsual };
  }
  for (const family of families) {
    const address: Address = nodeAddresses[family];
    if (isLoopback(address) || interfaceAddresses.includes(address)) continue;
    const why = `no interface has the node's address ${formatAddress(address)}`;
    yield { ...NO_PRIMARY, families: [family], why, isUsual: false };
  }
}

/** The gap in the ranges by which mode NodeCIDR recognises the pods of this node. */
function* podCidrGaps(
  families: readonly Family[],
  { detectLocal }: Configuration,
  { node }: Facts,
): Generator<NodeGap> {
  if (detectLocal.mode !== "NodeCIDR") return;
  const unknown = families.filter((family) =>
    !node?.podCidrs.some(({ address }) => familyOf(address) === family)
  );
  if (unknown.length === 0) return;
  const isUsual = unknown.length < families.length;
  const why = node === undefined
    ? "there is no Node object of this name, or it cannot be read"
    : `the Node has no ${isUsual ? `${unknown.join(", ")} range` : "ranges"} in spec.podCIDRs`;
  yield { ...NO_POD_CIDR, families: unknown, why, isUsual };
}
