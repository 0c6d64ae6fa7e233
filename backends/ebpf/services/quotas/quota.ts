/** While this part of the capacity is free, nothing is rejected. */
const RESERVE = 1 / 4;

/**
 * Divides the entries of a map among namespaces, so that one of them cannot use up what the others need. A namespace gets
 * more as long as a quarter of the capacity stays free, or as long as it has no more than it leaves free.
 *
 * One namespace alone can therefore take three quarters. A second one can take half of what is left, and so on: each
 * leaves as much as it takes, and a namespace with little gets more until almost nothing is left.
 */
export class Quota {
  #used = 0;
  readonly #byNamespace = new Map<string, number>();

  constructor(readonly capacity: number) {}

  get used(): number {
    return this.#used;
  }

  get free(): number {
    return this.capacity - this.#used;
  }

  /** Entries that only namespaces with few of them get. */
  get reserve(): number {
    return this.capacity * RESERVE;
  }

  /** True when namespaces with many get no more. */
  get isScarce(): boolean {
    return this.free < this.reserve;
  }

  of(namespace: string): number {
    return this.#byNamespace.get(namespace) ?? 0;
  }

  /** The namespace that has most. */
  get largest(): { readonly namespace: string; readonly used: number } {
    let [namespace, used] = ["", 0];
    for (const [name, count] of this.#byNamespace) if (count > used) [namespace, used] = [name, count];
    return { namespace, used };
  }

  /**
   * Reports whether a namespace may have more.
   * @param shared entries that nobody is charged for, but that are not free either.
   */
  admits(namespace: string, more: number, shared = 0): boolean {
    const left = this.free - more - shared;
    return left >= this.reserve || left >= 0 && this.of(namespace) + more <= left;
  }

  /**
   * Counts what a namespace takes, or with a negative number gives back.
   * @param namespace undefined for what nobody is charged for.
   */
  count(namespace: string | undefined, amount: number): void {
    if (amount === 0) return;
    this.#used += amount;
    if (namespace === undefined) return;
    const used = this.of(namespace) + amount;
    if (used === 0) this.#byNamespace.delete(namespace);
    else this.#byNamespace.set(namespace, used);
  }
}
