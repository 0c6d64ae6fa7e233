import { addressBits } from "../../../core/net/address.ts";
import { fingerprint } from "../../../core/objects/parse/fingerprint.ts";
import type { PlanKey } from "../../../core/plan/plan.ts";
import type { FamilyChange } from "../update.ts";
import type { ActualServer } from "./diff.ts";
import {
  formatVirtualServer,
  realServerKey,
  type VirtualServerId,
  virtualServerKey,
} from "./virtual_server.ts";

/** Virtual servers per window. Reading the real servers takes one request for each. */
const WINDOW = 100;

/** The virtual servers that were programmed. Keeps digests only, which suffice to detect foreign changes. */
export class ServersInForce {
  /** Servers by virtualServerKey. */
  readonly #servers = new Map<string, { readonly owner: PlanKey; readonly digest: number }>();
  #windowStart = 0;

  /** Records changes that are in force. A virtual server may move from one service port to another. */
  record(changes: readonly FamilyChange[]): void {
    for (const { old } of changes) {
      for (const server of old?.servers ?? []) this.#servers.delete(virtualServerKey(server));
    }
    for (const { key: owner, new: next } of changes) {
      for (const server of next?.servers ?? []) {
        this.#servers.set(virtualServerKey(server), { owner, digest: digestOf(server) });
      }
    }
  }

  ownerOf(server: VirtualServerId): PlanKey | undefined {
    return this.#servers.get(virtualServerKey(server))?.owner;
  }

  /** Describes the first virtual server that another program added or removed; undefined if there is none. */
  describeAddedOrRemoved(actual: readonly VirtualServerId[]): string | undefined {
    const added = actual.find((server) => !this.#servers.has(virtualServerKey(server)));
    if (added !== undefined) return `virtual server ${formatVirtualServer(added)} was added`;
    const missing = this.#servers.size - actual.length;
    if (missing === 0) return undefined;
    return missing === 1 ? "1 virtual server was removed" : `${missing} virtual servers were removed`;
  }

  /** Describes the first virtual server that another program changed; undefined if there is none. */
  describeChanged(actual: readonly ActualServer[]): string | undefined {
    const changed = actual.find((server) => !this.isIntact(server));
    return changed && `virtual server ${formatVirtualServer(changed)} was changed`;
  }

  /** Returns the virtual servers whose real servers to read next. Consecutive calls go round all of them. */
  nextWindow<Server>(servers: readonly Server[]): readonly Server[] {
    if (this.#windowStart >= servers.length) this.#windowStart = 0;
    const start = this.#windowStart;
    this.#windowStart += WINDOW;
    return servers.slice(start, this.#windowStart);
  }

  /**
   * Reports whether a virtual server is as programmed. Ignores real servers of weight 0, which may be
   * draining.
   */
  isIntact(actual: ActualServer): boolean {
    return this.#servers.get(virtualServerKey(actual))?.digest === digestOf(actual);
  }
}

/**
 * A 32-bit integer, equal for virtual servers that do the same. Does not depend on the order of the real
 * servers.
 */
function digestOf(server: ActualServer): number {
  const { scheduler, persistenceSeconds, flags, address, realServers } = server;
  const prefix = server.persistencePrefix ?? addressBits(address);
  let sum = fingerprint(`${scheduler} ${persistenceSeconds} ${flags} ${prefix}`) | 0;
  for (const realServer of realServers) {
    if (realServer.weight === 0) continue;
    const bypasses = realServer.isMasqueraded === false;
    sum = (sum + fingerprint(`${realServerKey(realServer)} ${realServer.weight} ${bypasses}`)) | 0;
  }
  return sum;
}
