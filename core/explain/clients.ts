import { type Address, contains, familyOf, formatAddress, isLinkLocal, isLoopback } from "../net/address.ts";
import type { Family } from "../net/protocol.ts";
import type { NodeSettings, ServicePortPlan } from "../plan/plan.ts";
import type { Knowledge } from "./knowledge.ts";
import type { Connection } from "./trace/trace.ts";

/** A client whose connections are traced. */
export interface Client extends Pick<Connection, "source" | "incoming"> {
  /** "pods of this node", "this node", "clients outside" */
  readonly kind: ClientKind;
}

export type ClientKind = typeof LOCAL_POD | typeof THIS_NODE | typeof OUTSIDE;

const LOCAL_POD = "pods of this node";
const THIS_NODE = "this node";
const OUTSIDE = "clients outside";

/** Stands for the interface by which clients outside come in. It is none that a configuration can name. */
const OUTSIDE_INTERFACE = "(outside)";

/** Addresses that are reserved for documentation (RFC 5737, RFC 3849). They stand for clients outside. */
const OUTSIDE_ADDRESS: Readonly<Record<Family, Address>> = {
  IPv4: "\xcb\x00\x71\xfe" as Address,
  IPv6: `\x20\x01\x0d\xb8${"\x00".repeat(11)}\xfe` as Address,
};

/** One client of each kind that the node tells apart. */
export function sampleClients(
  knowledge: Pick<Knowledge, "traced" | "podCidrs">,
  family: Family,
  plan?: ServicePortPlan,
): readonly Client[] {
  const settings = knowledge.traced.settings.find((one) => one.family === family);
  if (settings === undefined) return [];
  const { addresses } = knowledge.traced;
  const own = ownAddress(addresses, family);
  const podRange = knowledge.podCidrs.find(({ address }) => familyOf(address) === family);
  const pod = settings.localTraffic.mode === "cidr" ? settings.localTraffic.cidr.address : podRange?.address;
  // Clients that source ranges refuse are a finding of their own.
  const outside =
    plan?.sourceRanges?.find(({ address }) =>
      !addresses.includes(address) && !isLocalPod(knowledge, settings, address)
    )?.address ?? OUTSIDE_ADDRESS[family];
  const clients: Client[] = [];
  if (pod !== undefined) {
    clients.push({ kind: LOCAL_POD, source: pod, incoming: podInterface(settings) });
  }
  if (own !== undefined) clients.push({ kind: THIS_NODE, source: own, incoming: undefined });
  clients.push({ kind: OUTSIDE, source: outside, incoming: OUTSIDE_INTERFACE });
  return clients;
}

/**
 * The address that stands for the node as a client. The source of a connection to a service is never link-local, because
 * such an address is valid on one link only.
 * @param addresses of the interfaces.
 */
export function ownAddress(addresses: readonly Address[], family: Family): Address | undefined {
  return addresses.find((one) => familyOf(one) === family && !isLoopback(one) && !isLinkLocal(one));
}

/** The client that has this address, judged by the addresses of the node and its pods. */
export function clientAt(knowledge: Knowledge, source: Address): Client {
  const { settings, addresses } = knowledge.traced;
  if (isLoopback(source) || addresses.includes(source)) {
    return { kind: THIS_NODE, source, incoming: undefined };
  }
  const ofFamily = settings.find((one) => one.family === familyOf(source));
  if (ofFamily !== undefined && isLocalPod(knowledge, ofFamily, source)) {
    return { kind: LOCAL_POD, source, incoming: podInterface(ofFamily) };
  }
  return { kind: OUTSIDE, source, incoming: OUTSIDE_INTERFACE };
}

/** The client among those of one asked client that connects in the family. */
export function ofFamily(clients: readonly Client[], family: Family): Client | undefined {
  return clients.find(({ source }) => familyOf(source) === family);
}

/** "10.244.1.5 (pods of this node)" */
export function describeClient({ kind, source }: Client): string {
  return `${formatAddress(source)} (${kind})`;
}

function isLocalPod(
  { traced, podCidrs }: Pick<Knowledge, "traced" | "podCidrs">,
  { localTraffic }: NodeSettings,
  address: Address,
): boolean {
  if (localTraffic.mode === "cidr" && contains(localTraffic.cidr, address)) return true;
  if (podCidrs.some((range) => contains(range, address))) return true;
  return traced.index.localEndpointAddresses.has(address);
}

function podInterface({ localTraffic }: NodeSettings): string {
  switch (localTraffic.mode) {
    case "interface":
      return localTraffic.name;
    case "interface-prefix":
      return `${localTraffic.prefix}0`;
    default:
      return "(pod)";
  }
}
