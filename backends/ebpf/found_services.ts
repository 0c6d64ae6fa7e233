import { Entries, nameOf } from "./entries.ts";
import type { KernelMaps } from "./kernel_maps.ts";
import { readService, type ServiceEntry, SIZE, type SlotRange } from "./layout.ts";

/** What the kernel's services say, as they were read: of this process, of one before it, or of someone who meddled. */
export class FoundServices {
  readonly #entries: Entries;
  readonly #indices = new Map<string, number>();
  readonly #wanted: Uint8Array<ArrayBuffer>;

  constructor(map: KernelMaps["services"]) {
    const entries = new Entries(SIZE.frontend, SIZE.service, 1024);
    map.forEach((keys, keyOffset, values, valueOffset) => {
      const index = entries.add();
      copy(keys, keyOffset, entries.keys, index * SIZE.frontend, SIZE.frontend);
      copy(values, valueOffset, entries.values, index * SIZE.service, SIZE.service);
      this.#indices.set(nameOf(keys, keyOffset, SIZE.frontend), index);
    });
    this.#entries = entries;
    this.#wanted = new Uint8Array(entries.count);
  }

  get count(): number {
    return this.#entries.count;
  }

  /** What a frontend has, by the bytes of its key. */
  get(name: string): ServiceEntry | undefined {
    const index = this.#indices.get(name);
    return index === undefined ? undefined : readService(this.#entries.values, index * SIZE.service);
  }

  *services(): Generator<ServiceEntry> {
    for (let index = 0; index < this.#entries.count; index++) {
      yield readService(this.#entries.values, index * SIZE.service);
    }
  }

  /** Says that a frontend is wanted, and what for; returns what has to be done about it. */
  want(name: string, values: DataView, offset: number): "nothing" | "add" | "change" {
    const index = this.#indices.get(name);
    if (index === undefined) return "add";
    this.#wanted[index] = 1;
    for (let byte = 0; byte < SIZE.service; byte += 4) {
      const found = this.#entries.values.getUint32(index * SIZE.service + byte);
      if (found !== values.getUint32(offset + byte)) return "change";
    }
    return "nothing";
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

function copy(from: DataView, fromOffset: number, to: DataView, toOffset: number, length: number): void {
  for (let byte = 0; byte < length; byte += 4) {
    to.setUint32(toOffset + byte, from.getUint32(fromOffset + byte));
  }
}
