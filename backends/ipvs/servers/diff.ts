import { compare } from "../../difference.ts";
import type { BalancedServer } from "../compile.ts";
import {
  type KernelRealServer,
  type KernelVirtualServer,
  type RealServer,
  realServerKey,
  sameVirtualServer,
  type VirtualServer,
  virtualServerKey,
} from "./virtual_server.ts";

/** A real server of a virtual server. */
export interface Assignment {
  readonly server: VirtualServer;
  readonly realServer: RealServer;
}

/** A virtual server as it was last programmed, or as the kernel holds it. */
export interface ActualServer extends VirtualServer, Partial<Pick<KernelVirtualServer, "persistencePrefix">> {
  readonly realServers: readonly ActualRealServer[];
}

export interface ActualRealServer extends RealServer, Partial<Pick<KernelRealServer, "isMasqueraded">> {}

export interface ServerDifference {
  /** Their real servers are in `realServers.added`. */
  readonly added: readonly VirtualServer[];
  /** The desired ones. */
  readonly changed: readonly VirtualServer[];
  /** Their real servers are removed with them, and are not in `realServers.removed`. */
  readonly removed: readonly VirtualServer[];
  readonly realServers: RealServerDifference;
}

export interface RealServerDifference {
  readonly added: readonly Assignment[];
  /** The desired ones. */
  readonly changed: readonly Assignment[];
  readonly removed: readonly Assignment[];
}

/** Compares virtual servers and their real servers. A virtual server appears at most once on each side. */
export function diffServers(
  desired: Iterable<BalancedServer>,
  actual: Iterable<ActualServer>,
): ServerDifference {
  const added: VirtualServer[] = [];
  const changed: VirtualServer[] = [];
  const removed: VirtualServer[] = [];
  const realServers = { added: [] as Assignment[], changed: [] as Assignment[], removed: [] as Assignment[] };
  const compareRealServers = (server: BalancedServer, present: readonly ActualRealServer[]) =>
    compare<RealServer, ActualRealServer>(server.realServers, present, realServerKey, {
      added: (realServer) => realServers.added.push({ server, realServer }),
      matched: (realServer, present) => {
        if (!sameRealServer(realServer, present)) realServers.changed.push({ server, realServer });
      },
      removed: (realServer) => realServers.removed.push({ server, realServer }),
    });
  compare<BalancedServer, ActualServer>(desired, actual, virtualServerKey, {
    added: (server) => {
      added.push(server);
      compareRealServers(server, []);
    },
    matched: (server, present) => {
      if (!sameVirtualServer(server, present)) changed.push(server);
      compareRealServers(server, present.realServers);
    },
    removed: (server) => removed.push(server),
  });
  return { added, changed, removed, realServers };
}

function sameRealServer({ weight }: RealServer, present: ActualRealServer): boolean {
  return present.weight === weight && present.isMasqueraded !== false;
}
