import { viewOf } from "./layout.ts";

/** Keys and values of a map in the order they were added, as a batch wants them. Grows as needed. */
export class Entries {
  #count = 0;
  #keys: Uint8Array<ArrayBuffer>;
  #values: Uint8Array<ArrayBuffer>;
  keys: DataView<ArrayBuffer>;
  values: DataView<ArrayBuffer>;

  constructor(readonly keySize: number, readonly valueSize: number, room = 16) {
    this.#keys = new Uint8Array(room * keySize);
    this.#values = new Uint8Array(room * valueSize);
    this.keys = viewOf(this.#keys);
    this.values = viewOf(this.#values);
  }

  get count(): number {
    return this.#count;
  }

  get keyBytes(): Uint8Array<ArrayBuffer> {
    return this.#keys.subarray(0, this.#count * this.keySize);
  }

  get valueBytes(): Uint8Array<ArrayBuffer> {
    return this.#values.subarray(0, this.#count * this.valueSize);
  }

  /** Makes room for one more. Its key and value begin at `index` times their sizes, and are zero. */
  add(): number {
    if ((this.#count + 1) * this.keySize > this.#keys.length) this.#grow();
    return this.#count++;
  }

  /** Takes the last one back. */
  drop(): void {
    this.#count--;
    this.#keys.fill(0, this.#count * this.keySize, (this.#count + 1) * this.keySize);
    this.#values.fill(0, this.#count * this.valueSize, (this.#count + 1) * this.valueSize);
  }

  /** The key of an entry as a string: one character a byte. */
  keyName(index: number): string {
    return nameOf(this.keys, index * this.keySize, this.keySize);
  }

  #grow(): void {
    const room = Math.max(16, this.#keys.length / this.keySize * 2);
    const [keys, values] = [new Uint8Array(room * this.keySize), new Uint8Array(room * this.valueSize)];
    keys.set(this.#keys);
    values.set(this.#values);
    [this.#keys, this.#values] = [keys, values];
    [this.keys, this.values] = [viewOf(keys), viewOf(values)];
  }
}

/** Bytes as a string that can be a Map's key. */
export function nameOf(view: DataView, offset: number, length: number): string {
  let name = "";
  for (let index = 0; index < length; index++) name += String.fromCharCode(view.getUint8(offset + index));
  return name;
}
