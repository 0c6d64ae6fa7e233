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

/** A virtual server as it was planned before, or as the kernel has it. */
export interface PresentServer extends VirtualServer, Partial<Pick<FoundVirtualServer, "persistencePrefix">> {
  readonly realServers: readonly PresentRealServer[];
}

export interface PresentRealServer extends RealServer, Partial<Pick<FoundRealServer, "isMasqueraded">> {}

export interface ServerDifference {
  /** Their real servers are among those added, too. */
  readonly added: readonly VirtualServer[];
  readonly edited: readonly VirtualServer[];
  /** Their real servers go with them, and are not among those removed. */
  readonly removed: readonly VirtualServer[];
  readonly realServers: RealServerDifference;
}

export interface RealServerDifference {
  readonly added: readonly Assignment[];
  /** As they are to be. */
  readonly edited: readonly Assignment[];
  readonly removed: readonly Assignment[];
}

/** What makes `before` equal to `after`. A virtual server is once in each. */
export function serverDifference(
  before: Iterable<PresentServer>,
  after: Iterable<BalancedServer>,
): ServerDifference {
  const added: VirtualServer[] = [];
  const edited: VirtualServer[] = [];
  const realServers = new RealServerComparison();
  const unwanted = new Map<string, PresentServer>();
  for (const server of before) unwanted.set(virtualServerKey(server), server);
  for (const server of after) {
    const key = virtualServerKey(server);
    const present = unwanted.get(key);
    unwanted.delete(key);
    if (present === undefined) added.push(server);
    else if (!sameVirtualServer(server, present)) edited.push(server);
    realServers.compare(server, present?.realServers ?? []);
  }
  return { added, edited, removed: [...unwanted.values()], realServers };
}

class RealServerComparison implements RealServerDifference {
  readonly added: Assignment[] = [];
  readonly edited: Assignment[] = [];
  readonly removed: Assignment[] = [];

  compare(server: BalancedServer, before: readonly PresentRealServer[]): void {
    const unwanted = new Map<string, PresentRealServer>();
    for (const realServer of before) unwanted.set(realServerKey(realServer), realServer);
    for (const realServer of server.realServers) {
      // Keys are worth their making only where there is something to find.
      const key = unwanted.size === 0 ? "" : realServerKey(realServer);
      const present = unwanted.get(key);
      unwanted.delete(key);
      if (present === undefined) this.added.push({ server, realServer });
      else if (present.weight !== realServer.weight || present.isMasqueraded === false) {
        this.edited.push({ server, realServer });
      }
    }
    for (const realServer of unwanted.values()) this.removed.push({ server, realServer });
  }
}
