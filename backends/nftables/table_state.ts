import type { NodeSettings } from "../../core/model/plan.ts";
import type { TableFamily } from "./families.ts";
import type { SetSpec } from "./sets.ts";

/** What we must remember of a table to change it: besides the plans, which the caller has, only what they share. */
export interface TableState {
  readonly family: TableFamily;
  readonly settings: NodeSettings;
  /** The sets every service port's elements go to. */
  readonly sets: readonly SetSpec[];
  /** Class chain → verdict elements that go to it. */
  readonly classes: UseCounts;
  /** Element of a shared set → service ports that need it. */
  readonly shared: UseCounts;
}

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
