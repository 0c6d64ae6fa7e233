import { Entries } from "../maps/entries.ts";
import type { KernelMaps } from "../maps/kernel_maps.ts";
import { OFFSET, readService, type ServiceEntry, SIZE, type SlotRange } from "../maps/layout.ts";

/**
 * What the kernel's services say, as they were read: of this process, of one before it, or of someone who meddled.
 * Found by the bytes of their keys, without a string or an object for each: there may be a hundred thousand.
 */
export class FoundServices {
  readonly #entries: Entries;
  /** Open addressing: numbers of entries from 1 on, 0 where there is none. */
  readonly #table: Int32Array;
  readonly #wanted: Uint8Array;

  constructor(map: KernelMaps["services"]) {
    const entries = new Entries(SIZE.frontend, SIZE.service, 1024);
    map.forEach((keys, keyOffset, values, valueOffset) => {
      const index = entries.add();
      copy(keys, keyOffset, entries.keys, index * SIZE.frontend, SIZE.frontend);
      copy(values, valueOffset, entries.values, index * SIZE.service, SIZE.service);
    });
    this.#entries = entries;
    this.#wanted = new Uint8Array(entries.count);
    this.#table = new Int32Array(2 ** Math.ceil(Math.log2(entries.count * 2 + 2)));
    for (let index = 0; index < entries.count; index++) {
      this.#table[this.#cellOf(entries.keys, index * SIZE.frontend)] = index + 1;
    }
  }

  get count(): number {
    return this.#entries.count;
  }

  get largestId(): number {
    return this.#largest(OFFSET.service.id);
  }

  get largestGeneration(): number {
    return this.#largest(OFFSET.service.generation);
  }

  /** What a frontend has. */
  get(keys: DataView, offset: number): ServiceEntry | undefined {
    const index = this.#find(keys, offset);
    return index < 0 ? undefined : readService(this.#entries.values, index * SIZE.service);
  }

  /** The slots that each service names. */
  *slots(): Generator<SlotRange> {
    for (let index = 0; index < this.#entries.count; index++) {
      const slots = slotsOf(readService(this.#entries.values, index * SIZE.service));
      if (slots.count > 0) yield slots;
    }
  }

  /** Says that a frontend is wanted, and what for; returns what has to be done about it. */
  want(
    keys: DataView,
    keyOffset: number,
    values: DataView,
    valueOffset: number,
  ): "nothing" | "add" | "change" {
    const index = this.#find(keys, keyOffset);
    if (index < 0) return "add";
    this.#wanted[index] = 1;
    const same = isSame(this.#entries.values, index * SIZE.service, values, valueOffset, SIZE.service);
    return same ? "nothing" : "change";
  }

  /** Keys that nobody wanted. */
  unwanted(): Entries {
    const unwanted = new Entries(SIZE.frontend, 0);
    for (let index = 0; index < this.#entries.count; index++) {
      if (this.#wanted[index] === 1) continue;
      const to = unwanted.add();
      copy(this.#entries.keys, index * SIZE.frontend, unwanted.keys, to * SIZE.frontend, SIZE.frontend);
    }
    return unwanted;
  }

  #find(keys: DataView, offset: number): number {
    return (this.#table[this.#cellOf(keys, offset)] ?? 0) - 1;
  }

  /** Where a key is, or belongs. */
  #cellOf(keys: DataView, offset: number): number {
    let hash = 0;
    for (let byte = 0; byte < SIZE.frontend; byte += 4) {
      hash = Math.imul(hash ^ keys.getUint32(offset + byte), 0x9e3779b1);
      hash ^= hash >>> 15;
    }
    const mask = this.#table.length - 1;
    for (let cell = hash & mask;; cell = (cell + 1) & mask) {
      const index = (this.#table[cell] ?? 0) - 1;
      if (index < 0 || isSame(this.#entries.keys, index * SIZE.frontend, keys, offset, SIZE.frontend)) {
        return cell;
      }
    }
  }

  #largest(offset: number): number {
    let largest = 0;
    for (let index = 0; index < this.#entries.count; index++) {
      largest = Math.max(largest, this.#entries.values.getUint32(index * SIZE.service + offset, true));
    }
    return largest;
  }
}

/** All slots that a service names: its lists lie side by side. */
export function slotsOf({ cluster, local, serving }: ServiceEntry): SlotRange {
  let [first, end] = [Infinity, 0];
  for (const list of [cluster, local, serving]) {
    if (list.count === 0) continue;
    first = Math.min(first, list.first);
    end = Math.max(end, list.first + list.count);
  }
  return end === 0 ? { first: 0, count: 0 } : { first, count: end - first };
}

function isSame(a: DataView, aOffset: number, b: DataView, bOffset: number, length: number): boolean {
  for (let byte = 0; byte < length; byte += 4) {
    if (a.getUint32(aOffset + byte) !== b.getUint32(bOffset + byte)) return false;
  }
  return true;
}

function copy(from: DataView, fromOffset: number, to: DataView, toOffset: number, length: number): void {
  for (let byte = 0; byte < length; byte += 4) {
    to.setUint32(toOffset + byte, from.getUint32(fromOffset + byte));
  }
}
