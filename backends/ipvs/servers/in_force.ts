import { addressBits } from "../../../core/net/address.ts";
import { fingerprint } from "../../../core/objects/parse/fingerprint.ts";
import type { PlanKey } from "../../../core/plan/plan.ts";
import type { FamilyChange } from "../update.ts";
import type { PresentServer } from "./diff.ts";
import {
  formatVirtualServer,
  realServerKey,
  type VirtualServerId,
  virtualServerKey,
} from "./virtual_server.ts";

/** Each is a question to the kernel. */
const READ_AT_ONCE = 100;

/** The virtual servers that were written: of a whole cluster, no more than it takes to see that they are still there. */
export class ServersInForce {
  /** By virtualServerKey. */
  readonly #servers = new Map<string, { readonly owner: PlanKey; readonly digest: number }>();
  #firstToRead = 0;

  /** One may move from a service port to another. */
  note(changes: readonly FamilyChange[]): void {
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

  /** @returns the first virtual server that someone added or removed, in words; undefined when there is none. */
  stray(found: readonly VirtualServerId[]): string | undefined {
    const unwanted = found.find((server) => !this.#servers.has(virtualServerKey(server)));
    if (unwanted !== undefined) return `virtual server ${formatVirtualServer(unwanted)} was added`;
    const missing = this.#servers.size - found.length;
    if (missing === 0) return undefined;
    return missing === 1 ? "1 virtual server was removed" : `${missing} virtual servers were removed`;
  }

  /** Those of the ones found whose real servers are to be read now: all have their turn. */
  nextToRead<Found>(found: readonly Found[]): readonly Found[] {
    if (this.#firstToRead >= found.length) this.#firstToRead = 0;
    const first = this.#firstToRead;
    this.#firstToRead += READ_AT_ONCE;
    return found.slice(first, this.#firstToRead);
  }

  /** @returns the first virtual server that someone changed, in words; undefined when there is none. */
  changed(found: readonly PresentServer[]): string | undefined {
    const changed = found.find((server) => !this.isIntact(server));
    return changed && `virtual server ${formatVirtualServer(changed)} was changed`;
  }

  /** Whether it is as it was written. Real servers of weight 0 do not count: they may be on their way out. */
  isIntact(found: PresentServer): boolean {
    return this.#servers.get(virtualServerKey(found))?.digest === digestOf(found);
  }
}

/** Equal for what does the same, whatever the order of the real servers; an integer of 32 bits. */
function digestOf(server: PresentServer): number {
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
