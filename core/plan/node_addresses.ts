import { type Address, familyOf, isUnspecified, LOOPBACK } from "../net/address.ts";
import type { Family } from "../net/protocol.ts";
import type { Node } from "../objects/objects.ts";

/** Which addresses this node goes by. A family without one has the loopback address. */
export interface NodeAddresses {
  readonly primary: Family;
  readonly IPv4: Address;
  readonly IPv6: Address;
}

/**
 * Node IP detection of docs/behaviour.md §1.5: the Node object's addresses over loopback ones, and over both the
 * configured bind address, which makes its family the primary one as well.
 */
export function detectNodeAddresses(
  node: Node | undefined,
  bindAddress: Address | undefined,
): NodeAddresses {
  const known = node?.addresses ?? [];
  // The first of a family counts, and the first of all says which family is primary.
  const own = bindAddress === undefined || isUnspecified(bindAddress) ? known : [bindAddress, ...known];
  const firstOf = (family: Family) => own.find((address) => familyOf(address) === family) ?? LOOPBACK[family];
  const [first] = own;
  return {
    primary: first === undefined ? "IPv4" : familyOf(first),
    IPv4: firstOf("IPv4"),
    IPv6: firstOf("IPv6"),
  };
}
