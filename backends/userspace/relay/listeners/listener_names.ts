import type { Address } from "../../../../core/net/address.ts";
import type { RelayedProtocol, SharedListener } from "../messages.ts";

/**
 * Returns the name of a shared listener, which stays the same when the process is replaced. It has no colon, which
 * separates names in LISTEN_FDNAMES (sd_listen_fds(3)).
 */
export function sharedListenerName({ protocol, family, side }: Omit<SharedListener, "port">): string {
  return `${protocol}-${family}-${side}`;
}

/** Reports whether a socket that the service manager has kept is a listener of the relay. */
export function isListenerName(name: string): boolean {
  return /^(TCP|UDP)-(IPv[46]-(inside|outside)|[0-9a-f]+-\d+)$/.test(name);
}

/** Returns the name of a listener of one frontend. */
export function directListenerName(protocol: RelayedProtocol, address: Address, port: number): string {
  const bytes = Array.from(address, (byte) => byte.charCodeAt(0).toString(16).padStart(2, "0"));
  return `${protocol}-${bytes.join("")}-${port}`;
}
