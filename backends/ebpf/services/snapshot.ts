import { Entries, sameWords } from "../maps/entries.ts";
import type { KernelMaps } from "../maps/kernel_maps.ts";
import { OFFSET, readService, type ServiceEntry, SIZE, type SlotRange } from "../maps/layout.ts";

/**
 * The contents of map `services` when it was read, and the difference to the desired entries. The entries may
 * be from this process, from an earlier one, or from a foreign change. They are indexed by the bytes of their
 * keys, without a string or an object per entry, because there may be a hundred thousand.
 */
export class ServiceSnapshot {
  readonly #entries: Entries;
  /** Hash table with open addressing: indexes of entries plus 1; 0 for a free cell. */
  readonly #table: Int32Array;
  /** 1 for entries that are desired. */
  readonly #desired: Uint8Array;

  constructor(map: KernelMaps["services"]) {
    const entries = new Entries(SIZE.frontend, SIZE.service, 1024);
    map.forEach((keys, keyOffset, values, valueOffset) => {
      entries.addEntry(keys, keyOffset, values, valueOffset);
    });
    this.#entries = entries;
    this.#desired = new Uint8Array(entries.count);
    this.#table = new Int32Array(2 ** Math.ceil(Math.log2(entries.count * 2 + 2)));
    for (let index = 0; index < entries.count; index++) {
      this.#table[this.#cellOf(entries.keys, index * SIZE.frontend)] = index + 1;
    }
  }

  get count(): number {
    return this.#entries.count;
  }

  get maxId(): number {
    return this.#max(OFFSET.service.id);
  }

  get maxGeneration(): number {
    return this.#max(OFFSET.service.generation);
  }

  /** The entry of a frontend. */
  get(keys: DataView, offset: number): ServiceEntry | undefined {
    const index = this.#find(keys, offset);
    return index < 0 ? undefined : readService(this.#entries.values, index * SIZE.service);
  }

  /** Numbers of frontends and of slots of each id. */
  countsById(): Record<"frontends" | "slots", ReadonlyMap<number, number>> {
    const frontends = new Map<number, number>();
    const slots = new Map<number, number>();
    for (let index = 0; index < this.#entries.count; index++) {
      const service = readService(this.#entries.values, index * SIZE.service);
      frontends.set(service.id, (frontends.get(service.id) ?? 0) + 1);
      slots.set(service.id, Math.max(slots.get(service.id) ?? 0, slotsOf(service).count));
    }
    return { frontends, slots };
  }

  /** The slots of each service. */
  *slots(): Generator<SlotRange> {
    for (let index = 0; index < this.#entries.count; index++) {
      const slots = slotsOf(readService(this.#entries.values, index * SIZE.service));
      if (slots.count > 0) yield slots;
    }
  }

  /** Marks an entry as desired, and compares it with the snapshot. */
  compare(
    keys: DataView,
    keyOffset: number,
    values: DataView,
    valueOffset: number,
  ): "equal" | "missing" | "different" {
    const index = this.#find(keys, keyOffset);
    if (index < 0) return "missing";
    this.#desired[index] = 1;
    const isEqual = sameWords(this.#entries.values, index * SIZE.service, values, valueOffset, SIZE.service);
    return isEqual ? "equal" : "different";
  }

  /** Keys of all entries that are not desired. */
  extra(): Entries {
    const extra = new Entries(SIZE.frontend, 0);
    for (let index = 0; index < this.#entries.count; index++) {
      if (this.#desired[index] === 0) extra.addKey(this.#entries.keys, index * SIZE.frontend);
    }
    return extra;
  }

  #find(keys: DataView, offset: number): number {
    return (this.#table[this.#cellOf(keys, offset)] ?? 0) - 1;
  }

  /** The cell of a key, or the free cell where it belongs. */
  #cellOf(keys: DataView, offset: number): number {
    let hash = 0;
    for (let byte = 0; byte < SIZE.frontend; byte += 4) {
      hash = Math.imul(hash ^ keys.getUint32(offset + byte), 0x9e3779b1);
      hash ^= hash >>> 15;
    }
    const mask = this.#table.length - 1;
    for (let cell = hash & mask;; cell = (cell + 1) & mask) {
      const index = (this.#table[cell] ?? 0) - 1;
      if (index < 0 || sameWords(this.#entries.keys, index * SIZE.frontend, keys, offset, SIZE.frontend)) {
        return cell;
      }
    }
  }

  #max(offset: number): number {
    let max = 0;
    for (let index = 0; index < this.#entries.count; index++) {
      max = Math.max(max, this.#entries.values.getUint32(index * SIZE.service + offset, true));
    }
    return max;
  }
}

/** All slots that a service names. Its lists are adjacent or overlap. */
export function slotsOf({ cluster, local, serving }: ServiceEntry): SlotRange {
  let [first, end] = [Infinity, 0];
  for (const list of [cluster, local, serving]) {
    if (list.count === 0) continue;
    first = Math.min(first, list.first);
    end = Math.max(end, list.first + list.count);
  }
  return end === 0 ? { first: 0, count: 0 } : { first, count: end - first };
}
