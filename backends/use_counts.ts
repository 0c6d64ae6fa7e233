import type { SetDifference } from "./difference.ts";

/** Reference counts by name. A name without uses has no entry. */
export class UseCounts {
  readonly #counts = new Map<string, number>();

  of(name: string): number {
    return this.#counts.get(name) ?? 0;
  }

  names(): IterableIterator<string> {
    return this.#counts.keys();
  }

  /** @returns the uses after the change. */
  add(name: string, uses: number): number {
    const count = this.of(name) + uses;
    if (count === 0) this.#counts.delete(name);
    else this.#counts.set(name, count);
    return count;
  }

  addAll(changes: Iterable<readonly [name: string, uses: number]>): void {
    for (const [name, uses] of changes) this.add(name, uses);
  }
}

/**
 * Changes of one batch to the use counts of shared things. A shared thing exists while its count is above 0.
 */
export class UseChanges<Thing> implements Iterable<readonly [name: string, change: number]> {
  readonly #things = new Map<string, { readonly thing: Thing; change: number }>();

  use(name: string, thing: Thing, change: 1 | -1): void {
    const known = this.#things.get(name);
    if (known === undefined) this.#things.set(name, { thing, change });
    else known.change += change;
  }

  /**
   * Things that come into use, and things that fall out of use.
   * @param usesOf returns the uses before the batch.
   */
  difference(usesOf: (name: string) => number): SetDifference<Thing> {
    const added: Thing[] = [];
    const removed: Thing[] = [];
    for (const [name, { thing, change }] of this.#things) {
      const uses = usesOf(name);
      if (uses === 0 && change > 0) added.push(thing);
      if (uses > 0 && uses + change === 0) removed.push(thing);
    }
    return { added, removed };
  }

  /** All things whose count changes, or is only mentioned. */
  things(): readonly Thing[] {
    return [...this.#things.values()].map(({ thing }) => thing);
  }

  /** The changes to count once the batch is in force. */
  *[Symbol.iterator](): Generator<readonly [name: string, change: number]> {
    for (const [name, { change }] of this.#things) if (change !== 0) yield [name, change];
  }
}
