import { BoundedMap } from "./bounded_map.ts";

interface Affinity {
  readonly endpoint: string;
  /** Time of the client's last new connection. */
  readonly since: number;
}

/** Remembers which endpoint a client of a service with ClientIP affinity used last. The least recent client gives way. */
export class AffinityTable {
  readonly #entries: BoundedMap<string, Affinity>;

  constructor(capacity: number) {
    this.#entries = new BoundedMap(capacity);
  }

  get size(): number {
    return this.#entries.size;
  }

  /** @param client a name that is unique per service port and client address */
  get(client: string, affinitySeconds: number, now: number): string | undefined {
    const entry = this.#entries.get(client);
    if (entry === undefined) return undefined;
    if (now - entry.since < affinitySeconds * 1000) return entry.endpoint;
    this.#entries.delete(client);
    return undefined;
  }

  set(client: string, endpoint: string, now: number): void {
    this.#entries.set(client, { endpoint, since: now });
  }
}
