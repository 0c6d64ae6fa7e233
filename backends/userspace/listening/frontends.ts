import { type Address, UNSPECIFIED } from "../../../core/net/address.ts";
import type { Family } from "../../../core/net/protocol.ts";
import type { NodeSettings } from "../../../core/plan/plan.ts";
import type { RelayedFrontend, RelayedService } from "../relay/messages.ts";

/** Ports below it take CAP_NET_BIND_SERVICE, and a node's own programs use them. */
const FIRST_NODE_PORT = 1024;

/** The addresses that a process without rules listens on. */
export interface ListeningAddresses {
  /** The addresses of node ports in a family. */
  readonly nodePorts: (family: Family) => NodeSettings["nodePorts"];
  /** Returns the loopback address of a ClusterIP; undefined for none. */
  readonly loopbackOf: (clusterIP: Address) => Address | undefined;
}

/**
 * Returns a service port with listeners of its own instead of redirection: node ports on the node's addresses, and
 * ClusterIPs on loopback addresses. Undefined if nothing of it can be served so.
 */
export function listeningService(
  service: RelayedService,
  addresses: ListeningAddresses,
): RelayedService | undefined {
  const frontends = service.frontends.flatMap((frontend) => listening(service, frontend, addresses));
  return frontends.length === 0 ? undefined : { ...service, frontends };
}

function listening(
  { family }: RelayedService,
  frontend: RelayedFrontend,
  { nodePorts, loopbackOf }: ListeningAddresses,
): readonly RelayedFrontend[] {
  const { kind, address, port, outside } = frontend;
  if (kind === "NodePort") {
    // All clients are outside. Where they have no endpoint, they are refused, not accepted and reset, so that the health
    // checks of load balancers notice it.
    if (port < FIRST_NODE_PORT || outside === "none") return [];
    const addresses = nodePorts(family);
    return (addresses === "all" ? [UNSPECIFIED[family]] : addresses).map((address) => ({
      ...frontend,
      listen: { address, port },
    }));
  }
  const loopback = kind === "ClusterIP" && family === "IPv4" && address !== undefined
    ? loopbackOf(address)
    : undefined;
  if (loopback === undefined) return [];
  // Only this node reaches them.
  return [{ ...frontend, outside: frontend.inside, listen: { address: loopback, port } }];
}
