import { type Address, isLinkLocal, isLoopback } from "../net/address.ts";
import type { Family } from "../net/protocol.ts";
import type { Node } from "../objects/objects.ts";

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
