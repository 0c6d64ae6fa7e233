/** How often a thing is used, by its name. What is not used has no entry. */
export class UseCounts {
  readonly #counts = new Map<string, number>();

  of(name: string): number {
    return this.#counts.get(name) ?? 0;
  }

  names(): IterableIterator<string> {
    return this.#counts.keys();
  }

  /** @returns the uses there are now. */
  add(name: string, uses: number): number {
    const count = this.of(name) + uses;
    if (count === 0) this.#counts.delete(name);
    else this.#counts.set(name, count);
    return count;
  }
}
