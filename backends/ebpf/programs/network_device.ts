import { type Address, addressFromBytes, type Cidr, cidrOf } from "../../../core/net/address.ts";
import { AF_INET } from "../../../ffi/inet.ts";
import type { NetlinkMessage } from "../../../ffi/netlink/reader.ts";
import { decodeAddress } from "../../../ffi/netlink/rtnetlink/address.ts";
import * as rt from "../../../ffi/netlink/rtnetlink/constants.ts";
import { decodeLink, type Link } from "../../../ffi/netlink/rtnetlink/link.ts";
import { deviceOfFilter } from "../../../ffi/netlink/rtnetlink/tc.ts";

/** The properties of a network device that decide how programs are attached to it. */
export interface NetworkDevice
  extends Pick<Link, "index" | "name" | "master" | "lower" | "isLowerElsewhere" | "kind"> {
  readonly isLoopback: boolean;
  /** Layer of the first header of packets; undefined if the programs cannot parse packets of this device. */
  readonly layer: Layer | undefined;
}

/** "l2": packets begin with an Ethernet header. "l3": they begin with an IP header. */
export type Layer = "l2" | "l3";

/** A source address for masqueraded packets that leave through a device. */
export interface SourceAddress {
  readonly index: number;
  readonly address: Address;
  /** The network that is reached by the device without a gateway. */
  readonly network: Cidr;
}

export type Direction = "ingress" | "egress";

export const DIRECTIONS: readonly Direction[] = ["ingress", "egress"];

/** Decodes the payload of RTM_NEWLINK. */
export function decodeDevice(payload: Uint8Array): NetworkDevice {
  const { type, flags, ...link } = decodeLink(payload);
  return {
    ...link,
    isLoopback: (flags & rt.IFF_LOOPBACK) !== 0,
    layer: LAYERS.get(type),
  };
}

/**
 * Decodes the payload of RTM_NEWADDR.
 * @returns undefined for an address that the kernel does not choose as a source if there are others: a
 * tentative or deprecated address, an IPv4 alias, or one whose scope is its link.
 */
export function decodeSourceAddress(payload: Uint8Array): SourceAddress | undefined {
  const decoded = decodeAddress(payload);
  if (decoded === undefined) return undefined;
  const { index, family, scope, flags, bytes, network, prefix } = decoded;
  if (scope !== rt.RT_SCOPE_UNIVERSE) return undefined;
  if ((flags & (rt.IFA_F_DEPRECATED | rt.IFA_F_TENTATIVE)) !== 0) return undefined;
  if (family === AF_INET && (flags & rt.IFA_F_SECONDARY) !== 0) return undefined;
  return { index, address: addressFromBytes(bytes), network: cidrOf(addressFromBytes(network), prefix) };
}

/** Index of the device that lost a filter, or a qdisc with its filters; undefined for other messages. */
export function deviceThatLostFilters({ type, payload }: NetlinkMessage): number | undefined {
  if (type !== rt.RTM_DELTFILTER && type !== rt.RTM_DELQDISC) return undefined;
  return deviceOfFilter(payload);
}

const LAYERS: ReadonlyMap<number, Layer> = new Map([
  [rt.ARPHRD_ETHER, "l2"],
  ...[
    rt.ARPHRD_NONE,
    rt.ARPHRD_PPP,
    rt.ARPHRD_RAWIP,
    rt.ARPHRD_TUNNEL,
    rt.ARPHRD_TUNNEL6,
    rt.ARPHRD_SIT,
    rt.ARPHRD_IPGRE,
  ].map((type) => [type, "l3"] as const),
]);
