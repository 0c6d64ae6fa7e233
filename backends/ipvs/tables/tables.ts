import type { NodeSettings } from "../../../core/plan/plan.ts";
import type { SetDifference } from "../../difference.ts";
import type { TableBatch } from "../../nf_tables/batch.ts";
import type { NfTables } from "../../nf_tables/connection.ts";
import type { TableFamily } from "../../nf_tables/families.ts";
import { explainRejection } from "../../nf_tables/rejection.ts";
import type { Element } from "../../nf_tables/set/element.ts";
import { TABLE, writeElements, writeTable } from "./chains.ts";
import { type Candidates, describeElement, rejectedPlans } from "./rejection.ts";
import { guardedFrontend } from "./sets.ts";

/** A change to the table of one family. */
export interface TableChange {
  readonly family: TableFamily;
  readonly elements: SetDifference<Element>;
}

/** The table of one family as a whole: all its elements are added. */
export interface WholeTable extends TableChange {
  readonly settings: NodeSettings;
}

/**
 * The nf_tables tables of the mode. They change as a whole, or in two steps before and after the commands to
 * IPVS.
 */
export class IpvsTables {
  readonly #kernel: NfTables;

  constructor(kernel: NfTables) {
    this.#kernel = kernel;
  }

  /** The families whose table exists. */
  families(): Promise<readonly TableFamily[]> {
    return this.#kernel.familiesOf(TABLE.name);
  }

  /**
   * Replaces all tables in one transaction. Deletes those of other families.
   * @throws BackendError when the kernel rejects the transaction.
   */
  async replace(tables: readonly WholeTable[], candidates: Candidates): Promise<void> {
    const unwanted = (await this.families()).filter((family) =>
      tables.every((table) => table.family !== family)
    );
    const batch = this.#kernel.beginTable(TABLE);
    for (const family of unwanted) batch.removeTable(family);
    for (const { family, settings, elements } of tables) {
      writeTable(batch, family, settings, elements.added);
    }
    await this.#commit(batch, candidates);
  }

  /**
   * Adds elements in one transaction, and replaces those that get another comment under the same key.
   * @throws BackendError when the kernel rejects the transaction.
   */
  async add(changes: readonly TableChange[], candidates: Candidates): Promise<void> {
    await this.#change(candidates, (batch) => {
      for (const { family, elements } of changes) {
        writeElements(batch, family, "delete", splitRemoved(elements).replaced);
        writeElements(batch, family, "add", elements.added);
      }
    });
  }

  /** Undoes `add`. */
  async rollBack(changes: readonly TableChange[], candidates: Candidates): Promise<void> {
    await this.#change(candidates, (batch) => {
      for (const { family, elements } of changes) {
        writeElements(batch, family, "delete", elements.added);
        writeElements(batch, family, "add", splitRemoved(elements).replaced);
      }
    });
  }

  /** Removes elements, after `add`. */
  async remove(changes: readonly TableChange[], candidates: Candidates): Promise<void> {
    await this.#change(candidates, (batch) => {
      for (const { family, elements } of changes) {
        writeElements(batch, family, "delete", splitRemoved(elements).gone);
      }
    });
  }

  async #change(candidates: Candidates, write: (batch: TableBatch) => void): Promise<void> {
    const batch = this.#kernel.beginTable(TABLE);
    write(batch);
    if (!batch.isEmpty) await this.#commit(batch, candidates);
  }

  /** @throws BackendError when the kernel rejects the batch. */
  async #commit(batch: TableBatch, candidates: Candidates): Promise<void> {
    const { foreignChange } = await this.#kernel.commit(
      batch,
      (bytes, answer) =>
        explainRejection(bytes, answer, {
          mode: "ipvs",
          table: TABLE.name,
          rejectedPlans: (rejection) => rejectedPlans(rejection, candidates),
          describeElement,
          onDrift: (what) => this.#kernel.reportDrift(what),
        }),
    );
    if (foreignChange && this.#kernel.isWatched) {
      this.#kernel.report("another process changed nf_tables during our transaction");
    }
  }
}

/**
 * Splits the removed elements: `replaced` ones make way for an added one and go with it in one transaction,
 * `gone` ones leave a gap.
 */
export function splitRemoved(
  { added, removed }: SetDifference<Element>,
): { readonly replaced: readonly Element[]; readonly gone: readonly Element[] } {
  const places = new Set(added.map(placeOf));
  const { replaced = [], gone = [] } = Object.groupBy(
    removed,
    (element) => places.has(placeOf(element)) ? "replaced" : "gone",
  );
  return { replaced, gone };
}

/**
 * Equal for elements that cannot coexist: those of one key, and ranges of one frontend, which may overlap.
 */
function placeOf(element: Element): string {
  return element.set + (guardedFrontend(element) ?? element.key);
}
