import type { EntryChunk } from "../../../ffi/bpf/map.ts";
import { viewOf } from "./layout.ts";
import type { EntryMap } from "./kernel_maps.ts";

/** Keys and values of map entries in two growing buffers, in the format of batch operations. */
export class Entries {
  readonly #keySize: number;
  readonly #valueSize: number;
  #count = 0;
  #keys: Uint8Array<ArrayBuffer>;
  #values: Uint8Array<ArrayBuffer>;
  keys: DataView<ArrayBuffer>;
  values: DataView<ArrayBuffer>;

  /** @param capacity entries before the buffers grow. */
  constructor(keySize: number, valueSize: number, capacity = MIN_CAPACITY) {
    this.#keySize = keySize;
    this.#valueSize = valueSize;
    this.#keys = new Uint8Array(capacity * keySize);
    this.#values = new Uint8Array(capacity * valueSize);
    this.keys = viewOf(this.#keys);
    this.values = viewOf(this.#values);
  }

  /** The entries of a chunk, whose buffers they take. */
  static of(keySize: number, valueSize: number, { keys, values, count }: EntryChunk): Entries {
    const entries = new Entries(keySize, valueSize, 0);
    entries.#count = count;
    entries.#hold(new Uint8Array(keys.buffer), new Uint8Array(values.buffer));
    return entries;
  }

  get count(): number {
    return this.#count;
  }

  get keyBytes(): Uint8Array<ArrayBuffer> {
    return this.#keys.subarray(0, this.#count * this.#keySize);
  }

  get valueBytes(): Uint8Array<ArrayBuffer> {
    return this.#values.subarray(0, this.#count * this.#valueSize);
  }

  /** Adds an entry of zeros. Its key and value begin at the returned index times their sizes. */
  add(): number {
    if ((this.#count + 1) * this.#keySize > this.#keys.length) this.#grow();
    return this.#count++;
  }

  /** Adds a copy of a key, with a value of zeros. */
  addKey(from: DataView, offset: number): number {
    const index = this.add();
    copyWords(from, offset, this.keys, index * this.#keySize, this.#keySize);
    return index;
  }

  /** Adds a copy of an entry. */
  addEntry(keys: DataView, keyOffset: number, values: DataView, valueOffset: number): number {
    const index = this.addKey(keys, keyOffset);
    copyWords(values, valueOffset, this.values, index * this.#valueSize, this.#valueSize);
    return index;
  }

  /** Adds a copy of a whole entry of other ones with the same sizes. */
  addFrom(other: Entries, index: number): void {
    this.addEntry(other.keys, index * this.#keySize, other.values, index * this.#valueSize);
  }

  /** Removes the last entry. */
  drop(): void {
    this.#count--;
    this.#keys.fill(0, this.#count * this.#keySize, (this.#count + 1) * this.#keySize);
    this.#values.fill(0, this.#count * this.#valueSize, (this.#count + 1) * this.#valueSize);
  }

  /** The bytes of a key. */
  key(index: number): Uint8Array<ArrayBuffer> {
    return this.#keys.subarray(index * this.#keySize, (index + 1) * this.#keySize);
  }

  /** The key of an entry as a string. */
  keyName(index: number): string {
    return nameOf(this.keys, index * this.#keySize, this.#keySize);
  }

  #grow(): void {
    const capacity = Math.max(MIN_CAPACITY, this.#keys.length / this.#keySize * 2);
    const keys = new Uint8Array(capacity * this.#keySize);
    const values = new Uint8Array(capacity * this.#valueSize);
    keys.set(this.#keys);
    values.set(this.#values);
    this.#hold(keys, values);
  }

  #hold(keys: Uint8Array<ArrayBuffer>, values: Uint8Array<ArrayBuffer>): void {
    [this.#keys, this.#values] = [keys, values];
    [this.keys, this.values] = [viewOf(keys), viewOf(values)];
  }
}

const MIN_CAPACITY = 16;

/** Makes a map contain exactly these entries. Entries that stay are never missing meanwhile. */
export function replaceEntries(map: EntryMap, entries: Entries): void {
  map.updateAll(entries.keyBytes, entries.valueBytes, entries.count);
  const desired = new Set(Array.from({ length: entries.count }, (_, index) => entries.keyName(index)));
  const { keySize } = map.shape;
  const extra = new Entries(keySize, 0);
  map.forEach((keys, offset) => {
    if (!desired.has(nameOf(keys, offset, keySize))) extra.addKey(keys, offset);
  });
  map.deleteAll(extra.keyBytes, extra.count);
}

/** Reports whether a map contains exactly these entries. */
export function hasEntries(map: Pick<EntryMap, "shape" | "forEach">, entries: Entries): boolean {
  const { keySize, valueSize } = map.shape;
  const indexOf = new Map(
    Array.from({ length: entries.count }, (_, index) => [entries.keyName(index), index]),
  );
  let equal = 0;
  let isSame = true;
  map.forEach((keys, keyOffset, values, valueOffset) => {
    const index = indexOf.get(nameOf(keys, keyOffset, keySize));
    if (
      index === undefined || !sameWords(entries.values, index * valueSize, values, valueOffset, valueSize)
    ) {
      isSame = false;
    } else equal++;
  });
  return isSame && equal === indexOf.size;
}

/** Bytes as a string of one character per byte, for use as a key of Map and Set. */
export function nameOf(view: DataView, offset: number, length: number): string {
  let name = "";
  for (let index = 0; index < length; index++) name += String.fromCharCode(view.getUint8(offset + index));
  return name;
}

/** @param length in bytes; a multiple of 4, as every key and value is. */
export function sameWords(
  a: DataView,
  aOffset: number,
  b: DataView,
  bOffset: number,
  length: number,
): boolean {
  for (let byte = 0; byte < length; byte += 4) {
    if (a.getUint32(aOffset + byte) !== b.getUint32(bOffset + byte)) return false;
  }
  return true;
}

function copyWords(from: DataView, fromOffset: number, to: DataView, toOffset: number, length: number): void {
  for (let byte = 0; byte < length; byte += 4) {
    to.setUint32(toOffset + byte, from.getUint32(fromOffset + byte));
  }
}
