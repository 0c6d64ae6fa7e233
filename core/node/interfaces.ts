import { deviceOfAddress } from "../../ffi/netlink/rtnetlink/address.ts";
import { RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR } from "../../ffi/netlink/rtnetlink/constants.ts";
import { NETLINK_ROUTE } from "../../ffi/netlink/constants.ts";
import { KernelError } from "../../ffi/errors.ts";
import { messages } from "../../ffi/netlink/reader.ts";
import { NetlinkSocket } from "../../ffi/netlink/socket.ts";
import { type Address, isLinkLocal, isLoopback, parseAddress } from "../net/address.ts";
import type { Family } from "../net/protocol.ts";
import type { Node } from "../objects/objects.ts";

/**
 * Addresses of the node itself: those of the interfaces in this network namespace, in the order of the
 * interfaces.
 * @param serviceDevices devices to leave out, because their addresses are those of services.
 */
export function interfaceAddresses(serviceDevices: readonly string[]): readonly Address[] {
  return Deno.networkInterfaces().flatMap(({ name, address }) =>
    serviceDevices.includes(name) ? [] : parseAddress(address) ?? []
  );
}

/** Families that the kernel supports. Without IPv6 there is no /proc/net/if_inet6. */
export async function supportedFamilies(): Promise<readonly Family[]> {
  const hasIPv6 = await Deno.stat("/proc/net/if_inet6").then(() => true, () => false);
  return hasIPv6 ? ["IPv4", "IPv6"] : ["IPv4"];
}

/**
 * Makes a Node object for clusters without an API server. It has the first address per family that other
 * hosts can reach.
 */
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

/** Address changes within this time are one change, for example when an interface gets several addresses. */
const SETTLE_MS = 50;

/**
 * Calls back after addresses of the node were added or removed, until the signal aborts.
 * @param serviceDevices devices whose addresses are those of services.
 */
export async function watchInterfaceAddresses(
  serviceDevices: readonly string[],
  onChange: () => void,
  signal: AbortSignal,
): Promise<void> {
  using socket = NetlinkSocket.open(NETLINK_ROUTE);
  socket.joinGroup(RTNLGRP_IPV4_IFADDR);
  socket.joinGroup(RTNLGRP_IPV6_IFADDR);
  while (!signal.aborted) {
    if (!await socket.readable(-1)) continue;
    await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
    if (drain(socket, serviceDevices)) onChange();
  }
}

/**
 * Reads all pending notifications.
 * @returns true when an address of the node may have changed, also when notifications were missed.
 */
function drain(socket: NetlinkSocket, serviceDevices: readonly string[]): boolean {
  const services = serviceDevices.flatMap((device) => indexOf(device) ?? []);
  let isOfNode = false;
  try {
    for (let datagram; (datagram = socket.receive()) !== undefined;) {
      isOfNode ||= changesNode(datagram, services);
    }
    return isOfNode;
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    return true;
  }
}

/**
 * Reports whether these notifications are about more than addresses of services. Reading all addresses again
 * takes tens of milliseconds on a node with thousands of services.
 * @param services indexes of the devices whose addresses are those of services.
 */
export function changesNode(datagram: Uint8Array, services: readonly number[]): boolean {
  for (const { payload } of messages(datagram)) {
    if (!services.includes(deviceOfAddress(payload))) return true;
  }
  return false;
}

function indexOf(device: string): number | undefined {
  try {
    return Number(Deno.readTextFileSync(`/sys/class/net/${device}/ifindex`));
  } catch {
    return undefined;
  }
}
