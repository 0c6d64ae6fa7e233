/**
 * Keeps the model small. The same node names, zones, port lists come a hundred thousand times, and a substring can
 * keep the whole JSON or YAML text it was cut from in memory: so what the model keeps is copied, and what recurs is
 * kept once.
 */

/** A copy that shares no memory with the text it was cut from. */
export function ownText(text: string): string {
  return text.length < 2 ? text : [...text].join("");
}

/** Values by a key that says all about them. */
export class Pool<T> {
  /**
   * More than the nodes, zones, namespaces and kinds of port lists of any cluster. Beyond it everything is
   * forgotten, which costs sharing and nothing else.
   */
  static readonly limit = 16_384;
  /** Hostile values must not fill memory with their keys. */
  static readonly longestKey = 512;
  readonly #known = new Map<string, T>();

  /** The value of this key; `make` makes the first one. */
  share(key: string, make: () => T): T {
    const found = this.#known.get(key);
    if (found !== undefined) return found;
    const made = make();
    if (key.length > Pool.longestKey) return made;
    if (this.#known.size >= Pool.limit) this.#known.clear();
    this.#known.set(ownText(key), made);
    return made;
  }
}

const texts = new Pool<string>();

/** For text that recurs in many objects: the one copy of it. */
export function sharedText(text: string): string {
  return texts.share(text, () => ownText(text));
}
