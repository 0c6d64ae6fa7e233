/** Label values that other programs choose: the first ones are kept, all others share one. */
export class BoundedLabel {
  readonly #known = new Set<string>();
  readonly #max: number;

  constructor(max: number) {
    this.#max = max;
  }

  of(value: string): string {
    if (this.#known.size < this.#max) this.#known.add(value);
    return this.#known.has(value) ? value : OTHERS;
  }
}

const OTHERS = "others";
