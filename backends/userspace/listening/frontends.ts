import { type Address, type Cidr } from "../../../core/net/address.ts";
import type { RelayedFrontend, RelayedService } from "../relay/messages.ts";

/** Ports below it take CAP_NET_BIND_SERVICE, and a node's own programs use them. */
const FIRST_NODE_PORT = 1024;

/**
 * Returns a service port with listeners of its own instead of redirection: node ports on every address, and ClusterIPs
 * on loopback addresses. Undefined if nothing of it can be served so.
 * @param loopback the range of the loopback addresses; undefined for none.
 */
export function listeningService(
  service: RelayedService,
  loopback: Cidr | undefined,
): RelayedService | undefined {
  const frontends = service.frontends.flatMap((frontend) => listening(service, frontend, loopback) ?? []);
  return frontends.length === 0 ? undefined : { ...service, frontends };
}

function listening(
  { family }: RelayedService,
  frontend: RelayedFrontend,
  loopback: Cidr | undefined,
): RelayedFrontend | undefined {
  const { kind, address, port } = frontend;
  if (kind === "NodePort" && port >= FIRST_NODE_PORT) {
    const everywhere = "\0".repeat(family === "IPv4" ? 4 : 16) as Address;
    return { ...frontend, listen: { address: everywhere, port } };
  }
  if (kind !== "ClusterIP" || address === undefined || loopback === undefined || family === "IPv6") {
    return undefined;
  }
  // Only this node reaches them.
  return {
    ...frontend,
    outside: frontend.inside,
    listen: { address: loopbackAddress(address, loopback), port },
  };
}

/** Returns the loopback address of a ClusterIP: the range's prefix, and the last bits of the ClusterIP. */
export function loopbackAddress(clusterIP: Address, { address: range, prefix }: Cidr): Address {
  const bytes = Array.from(range, (byte, index) => {
    const bits = Math.min(Math.max(prefix - index * 8, 0), 8);
    const host = 0xff >> bits;
    return String.fromCharCode((byte.charCodeAt(0) & ~host) | (clusterIP.charCodeAt(index) & host));
  });
  return bytes.join("") as Address;
}
