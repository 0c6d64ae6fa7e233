import { compare } from "../../difference.ts";
import type { BalancedServer } from "../compile.ts";
import {
  type FoundRealServer,
  type FoundVirtualServer,
  type RealServer,
  realServerKey,
  sameVirtualServer,
  type VirtualServer,
  virtualServerKey,
} from "./virtual_server.ts";

/** A real server and the virtual server it works for. */
export interface Assignment {
  readonly server: VirtualServer;
  readonly realServer: RealServer;
}

/** A virtual server as it was programmed before, or as the kernel has it. */
export interface PresentServer extends VirtualServer, Partial<Pick<FoundVirtualServer, "persistencePrefix">> {
  readonly realServers: readonly PresentRealServer[];
}

export interface PresentRealServer extends RealServer, Partial<Pick<FoundRealServer, "isMasqueraded">> {}

export interface ServerDifference {
  /** Their real servers are among the added ones, too. */
  readonly added: readonly VirtualServer[];
  /** As they are to be. */
  readonly changed: readonly VirtualServer[];
  /** Their real servers go with them, and are not among the removed ones. */
  readonly removed: readonly VirtualServer[];
  readonly realServers: RealServerDifference;
}

export interface RealServerDifference {
  readonly added: readonly Assignment[];
  /** As they are to be. */
  readonly changed: readonly Assignment[];
  readonly removed: readonly Assignment[];
}

/** Compares virtual servers and their real servers. A virtual server appears at most once on each side. */
export function diffServers(
  desired: Iterable<BalancedServer>,
  actual: Iterable<PresentServer>,
): ServerDifference {
  const added: VirtualServer[] = [];
  const changed: VirtualServer[] = [];
  const removed: VirtualServer[] = [];
  const realServers = { added: [] as Assignment[], changed: [] as Assignment[], removed: [] as Assignment[] };
  const compareRealServers = (server: BalancedServer, present: readonly PresentRealServer[]) =>
    compare<RealServer, PresentRealServer>(server.realServers, present, realServerKey, {
      added: (realServer) => realServers.added.push({ server, realServer }),
      matched: (realServer, present) => {
        if (!sameRealServer(realServer, present)) realServers.changed.push({ server, realServer });
      },
      removed: (realServer) => realServers.removed.push({ server, realServer }),
    });
  compare<BalancedServer, PresentServer>(desired, actual, virtualServerKey, {
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

function sameRealServer({ weight }: RealServer, present: PresentRealServer): boolean {
  return present.weight === weight && present.isMasqueraded !== false;
}
