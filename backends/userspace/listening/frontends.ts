import { type Address, UNSPECIFIED } from "../../../core/net/address.ts";
import type { RelayedFrontend, RelayedService } from "../relay/messages.ts";

/** Ports below it take CAP_NET_BIND_SERVICE, and a node's own programs use them. */
const FIRST_NODE_PORT = 1024;

/**
 * Returns a service port with listeners of its own instead of redirection: node ports on every address, and ClusterIPs
 * on loopback addresses. Undefined if nothing of it can be served so.
 * @param loopbackOf returns the loopback address of a ClusterIP; undefined for none.
 */
export function listeningService(
  service: RelayedService,
  loopbackOf: (clusterIP: Address) => Address | undefined,
): RelayedService | undefined {
  const frontends = service.frontends.flatMap((frontend) => listening(service, frontend, loopbackOf) ?? []);
  return frontends.length === 0 ? undefined : { ...service, frontends };
}

function listening(
  { family }: RelayedService,
  frontend: RelayedFrontend,
  loopbackOf: (clusterIP: Address) => Address | undefined,
): RelayedFrontend | undefined {
  const { kind, address, port } = frontend;
  if (kind === "NodePort" && port >= FIRST_NODE_PORT) {
    return { ...frontend, listen: { address: UNSPECIFIED[family], port } };
  }
  if (kind !== "ClusterIP" || address === undefined || family === "IPv6") return undefined;
  const loopback = loopbackOf(address);
  if (loopback === undefined) return undefined;
  // Only this node reaches them.
  return {
    ...frontend,
    outside: frontend.inside,
    listen: { address: loopback, port },
  };
}
