/** Collects descriptions for the log: the first ones, and the number of the rest. */
export class TruncatedList {
  readonly #first: string[] = [];
  readonly #maxShown: number;
  #count = 0;

  constructor(maxShown: number = MAX_SHOWN) {
    this.#maxShown = maxShown;
  }

  /** @param describe is called only for descriptions that are kept. */
  add(describe: () => string): void {
    if (++this.#count <= this.#maxShown) this.#first.push(describe());
  }

  get texts(): readonly string[] {
    const more = this.#count - this.#first.length;
    return more === 0 ? this.#first : [...this.#first, `${more} more`];
  }
}

/** Truncates a complete list of descriptions. */
export function truncateList(texts: readonly string[]): readonly string[] {
  const list = new TruncatedList();
  for (const text of texts) list.add(() => text);
  return list.texts;
}

const MAX_SHOWN = 20;
