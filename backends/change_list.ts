import type { Comparison } from "../core/backend/contract.ts";
import { TruncatedList } from "./truncated_list.ts";

/** Descriptions per kind of change. Someone reads them: more are counted. */
const MAX_SHOWN = 200;

/** Collects the changes that a reconcile would make. */
export class ChangeList {
  readonly #added = new TruncatedList(MAX_SHOWN);
  readonly #changed = new TruncatedList(MAX_SHOWN);
  readonly #removed = new TruncatedList(MAX_SHOWN);

  /** @param describe is called only for descriptions that are kept; the same for the others. */
  add(describe: () => string): void {
    this.#added.add(describe);
  }

  change(describe: () => string): void {
    this.#changed.add(describe);
  }

  remove(describe: () => string): void {
    this.#removed.add(describe);
  }

  comparison(found: Comparison["found"]): Comparison {
    return {
      found,
      added: this.#added.texts,
      changed: this.#changed.texts,
      removed: this.#removed.texts,
    };
  }
}
