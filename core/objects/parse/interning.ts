/**
 * Keeps parsed objects small. The same node names, zones and port lists occur a hundred thousand times, and a
 * substring can keep the whole JSON or YAML text in memory that it was cut from. So text that objects keep is
 * copied, and values that recur are shared.
 */

/** Copies a text, so that it shares no memory with the text it was cut from. */
export function ownText(text: string): string {
  return text.length < 2 ? text : [...text].join("");
}

/**
 * More than the nodes, zones, namespaces and distinct port lists of any cluster. A pool that reaches this
 * size forgets everything, which costs sharing and nothing else.
 */
const MAX_POOL_SIZE = 16_384;
/** Longer keys are not stored, so that hostile values cannot fill the memory. */
const MAX_KEY_LENGTH = 512;

/** Shares values that have the same key. The key determines the value completely. */
export class Pool<T> {
  readonly #known = new Map<string, T>();

  /** Returns the value of this key, which `make` makes the first time. */
  share(key: string, make: () => T): T {
    const found = this.#known.get(key);
    if (found !== undefined) return found;
    const made = make();
    if (key.length > MAX_KEY_LENGTH) return made;
    if (this.#known.size >= MAX_POOL_SIZE) this.#known.clear();
    this.#known.set(ownText(key), made);
    return made;
  }
}

const texts = new Pool<string>();

/** Returns the one copy of a text that recurs in many objects. */
export function sharedText(text: string): string {
  return texts.share(text, () => ownText(text));
}
