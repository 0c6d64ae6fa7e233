import type { Address } from "../../../../core/net/address.ts";
import type { RelayedProtocol, SharedListener } from "../messages.ts";

/**
 * Returns the name of a shared listener, which stays the same when the process is replaced. It has no colon, which
 * separates names in LISTEN_FDNAMES (sd_listen_fds(3)).
 */
export function sharedListenerName({ protocol, family, side }: Omit<SharedListener, "port">): string {
  return `${protocol}-${family}-${side}`;
}

/** Returns the name of a listener of one frontend. */
export function directListenerName(protocol: RelayedProtocol, address: Address, port: number): string {
  const bytes = Array.from(address, (byte) => byte.charCodeAt(0).toString(16).padStart(2, "0"));
  return `${protocol}-${bytes.join("")}-${port}`;
}
