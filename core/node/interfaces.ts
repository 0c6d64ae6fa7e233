import { RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR } from "../../ffi/netlink/rtnetlink.ts";
import { NETLINK_ROUTE } from "../../ffi/netlink/constants.ts";
import { KernelError } from "../../ffi/errors.ts";
import { NetlinkSocket } from "../../ffi/netlink/socket.ts";
import { type Address, isLoopback, parseAddress } from "../model/address.ts";
import type { Family, Node } from "../model/objects.ts";

/** Addresses of all interfaces of this network namespace, in the order of the interfaces. */
export function interfaceAddresses(): readonly Address[] {
  return Deno.networkInterfaces().flatMap(({ address }) => parseAddress(address) ?? []);
}

/** Linux without IPv6 has no such file. */
export async function supportedFamilies(): Promise<readonly Family[]> {
  const hasIPv6 = await Deno.stat("/proc/net/if_inet6").then(() => true, () => false);
  return hasIPv6 ? ["IPv4", "IPv6"] : ["IPv4"];
}

/** A stand-in for the Node object where no API server has one: the first address of each family that others can reach. */
export function nodeOfThisHost(name: string, addresses: readonly Address[]): Node {
  const reachable = addresses.filter((address) => !isLoopback(address) && !isLinkLocal(address));
  const firstOf = (bytes: number) => reachable.filter((address) => address.length === bytes).slice(0, 1);
  return {
    kind: "Node",
    name,
    zone: "",
    addresses: [...firstOf(4), ...firstOf(16)],
    podCidrs: [],
    eligible: true,
  };
}

/** fe80::/10 and 169.254.0.0/16. */
function isLinkLocal(address: Address): boolean {
  const [first = 0, second = 0] = [address.charCodeAt(0), address.charCodeAt(1)];
  return address.length === 4 ? first === 169 && second === 254 : first === 0xfe && (second & 0xc0) === 0x80;
}

/** Addresses that come in one go, as when an interface gets several, are one change. */
const SETTLE_MS = 50;

/** Calls back after addresses of interfaces came or went, until the signal aborts. */
export async function watchInterfaceAddresses(onChange: () => void, signal: AbortSignal): Promise<void> {
  using socket = NetlinkSocket.open(NETLINK_ROUTE);
  socket.joinGroup(RTNLGRP_IPV4_IFADDR);
  socket.joinGroup(RTNLGRP_IPV6_IFADDR);
  while (!signal.aborted) {
    if (!await socket.readable(-1)) continue;
    await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
    drain(socket);
    onChange();
  }
}

/** What the messages say, and whether some were lost, does not matter: the addresses are read anew. */
function drain(socket: NetlinkSocket): void {
  try {
    while (socket.receive() !== undefined);
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
  }
}
