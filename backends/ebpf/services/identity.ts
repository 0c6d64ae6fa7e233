import { fingerprint } from "../../../core/objects/parse/fingerprint.ts";
import type { PlanKey } from "../../../core/plan/plan.ts";
import { Entries } from "../maps/entries.ts";
import type { EntryMap } from "../maps/kernel_maps.ts";
import { FRONTEND_KINDS, OFFSET } from "../maps/layout.ts";

/** Keys of map `counters` have 32 bits, and are multiples of an id (`counters_key` in bpf/choice.h). */
export const MAX_ID = Math.floor(0xffff_ffff / FRONTEND_KINDS);

/**
 * Assigns the ids and generations of service ports. Flows, clients and sockets remember both, some for days. The numbers
 * therefore increase over all processes that use the maps, and none is assigned again before all others were. That takes
 * 2^30 new service ports, or 2^32 changes of endpoints: a year of 34 per second, or of 136.
 */
export class Identity {
  readonly #memory: DataView;

  /** @param memory `struct identity`. A number is taken as soon as it is written. */
  constructor(memory: DataView) {
    this.#memory = memory;
  }

  /** @param isUsed reports whether a service port has an id: one from before the numbers started again. */
  nextId(isUsed: (id: number) => boolean): number {
    let id = this.#lastId;
    do id = id >= MAX_ID ? 1 : id + 1; while (isUsed(id));
    this.#memory.setUint32(OFFSET.identity.last_id, id, true);
    return id;
  }

  nextGeneration(): number {
    const generation = this.lastGeneration === 0xffff_ffff ? 1 : this.lastGeneration + 1;
    this.#memory.setUint32(OFFSET.identity.last_generation, generation, true);
    return generation;
  }

  get lastGeneration(): number {
    return this.#memory.getUint32(OFFSET.identity.last_generation, true);
  }

  /** Skips numbers that services have, if the memory is new. */
  skip({ maxId, maxGeneration }: { readonly maxId: number; readonly maxGeneration: number }): void {
    const at = OFFSET.identity;
    if (this.#lastId === 0) this.#memory.setUint32(at.last_id, Math.min(maxId, MAX_ID), true);
    if (this.lastGeneration === 0) this.#memory.setUint32(at.last_generation, maxGeneration, true);
  }

  get #lastId(): number {
    return this.#memory.getUint32(OFFSET.identity.last_id, true);
  }
}

const HIGH = 0x1_0000_0000;

/** Map `owners`: the owner of each id. */
export class Owners {
  readonly #map: EntryMap;

  constructor(map: EntryMap) {
    this.#map = map;
  }

  /** Reads the map. */
  read(): KnownOwners {
    const ids = new Map<number, number>();
    const all: number[] = [];
    this.#map.forEach((keys, keyOffset, values, valueOffset) => {
      const id = keys.getUint32(keyOffset, true);
      all.push(id);
      ids.set(values.getUint32(valueOffset + 4, true) * HIGH + values.getUint32(valueOffset, true), id);
    });
    // A reconcile asks for each name twice, and hashing it takes most of the time.
    const known = new Map<PlanKey, number | undefined>();
    const idOf = (key: PlanKey) => {
      if (!known.has(key)) known.set(key, ids.get(fingerprint(key)));
      return known.get(key);
    };
    return { idOf, all };
  }

  add(owners: Iterable<readonly [id: number, key: PlanKey]>): void {
    const entries = new Entries(4, 8);
    for (const [id, key] of owners) {
      const index = entries.add();
      const hash = fingerprint(key);
      entries.keys.setUint32(index * 4, id, true);
      entries.values.setUint32(index * 8, hash % HIGH, true);
      entries.values.setUint32(index * 8 + 4, hash / HIGH, true);
    }
    this.#map.updateAll(entries.keyBytes, entries.valueBytes, entries.count);
  }

  delete(ids: Iterable<number>): void {
    const entries = new Entries(4, 0);
    for (const id of ids) entries.keys.setUint32(entries.add() * 4, id, true);
    this.#map.deleteAll(entries.keyBytes, entries.count);
  }

  /** Makes the map contain exactly these owners. @param known what it contains. */
  replace(owners: ReadonlyMap<number, PlanKey>, { idOf, all }: KnownOwners): void {
    // A full map cannot hold both.
    this.delete(all.filter((id) => !owners.has(id)));
    this.add([...owners].filter(([id, key]) => idOf(key) !== id));
  }
}

/** The contents of map `owners`. */
export interface KnownOwners {
  readonly idOf: (key: PlanKey) => number | undefined;
  /** All ids, also those of owners that have another one. */
  readonly all: readonly number[];
}
