import { Expiring, ExpiryList } from "../expiry_list.ts";

class Entry<Key, Value> extends Expiring {
  readonly key: Key;
  value: Value;

  constructor(key: Key, value: Value) {
    super();
    this.key = key;
    this.value = value;
  }
}

/**
 * A map that forgets: above its limit, the entry that was set the longest time ago gives way. All operations take
 * constant time. The order of a `Map` does not suffice, because a search for its first key skips all keys that were
 * deleted since the map was last rehashed: at a limit of 65,536, setting an entry takes 20 times as long.
 */
export class BoundedMap<Key, Value> {
  readonly #entries = new Map<Key, Entry<Key, Value>>();
  /** All entries in the order of their last `set`. Their deadlines have no meaning. */
  readonly #order = new ExpiryList<Entry<Key, Value>>(0);
  readonly #limit: number;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get size(): number {
    return this.#entries.size;
  }

  get(key: Key): Value | undefined {
    return this.#entries.get(key)?.value;
  }

  set(key: Key, value: Value): void {
    let entry = this.#entries.get(key);
    if (entry === undefined) this.#entries.set(key, entry = new Entry(key, value));
    entry.value = value;
    this.#order.renew(entry, 0);
    const { first } = this.#order;
    if (first !== undefined && this.#entries.size > this.#limit) this.delete(first.key);
  }

  delete(key: Key): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    this.#order.remove(entry);
    this.#entries.delete(key);
  }

  /** The entry that was set the longest time ago comes first. */
  *[Symbol.iterator](): Generator<readonly [Key, Value]> {
    for (const { key, value } of this.#order.all()) yield [key, value];
  }
}
