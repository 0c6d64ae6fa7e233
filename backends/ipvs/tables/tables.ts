import type { NodeSettings } from "../../../core/plan/plan.ts";
import type { SetDifference } from "../../difference.ts";
import type { TableBatch } from "../../nf_tables/batch.ts";
import type { NfTables } from "../../nf_tables/connection.ts";
import { tableFamilies, type TableFamily } from "../../nf_tables/families.ts";
import { explainRejection } from "../../nf_tables/rejection.ts";
import { readSchemas } from "../../nf_tables/schema.ts";
import type { Element } from "../../nf_tables/set/element.ts";
import { TABLE, writeElements, writeTable } from "./chains.ts";
import { type Candidates, describeElement, rejectedPlans } from "./rejection.ts";
import { guardedFrontend } from "./sets.ts";

/** What changes in the table of one family. */
export interface TableChange {
  readonly family: TableFamily;
  readonly elements: SetDifference<Element>;
}

/** The whole table of one family: its elements are all that are added. */
export interface WholeTable extends TableChange {
  readonly settings: NodeSettings;
}

/** Our nf_tables tables: written as a whole, or by their elements in two steps around what IPVS is told. */
export class IpvsTables {
  readonly #kernel: NfTables;

  constructor(kernel: NfTables) {
    this.#kernel = kernel;
  }

  /** The families that have one. */
  async found(): Promise<readonly TableFamily[]> {
    const schemas = await readSchemas(this.#kernel.client, TABLE.name);
    return tableFamilies.filter(({ nfproto }) => schemas.has(nfproto));
  }

  /**
   * In place of all there are, in one transaction; those of other families go.
   * @throws BackendError when the kernel refuses it.
   */
  async replace(tables: readonly WholeTable[], candidates: Candidates): Promise<void> {
    const batch = this.#kernel.beginTable(TABLE);
    for (const family of tableFamilies) {
      const wanted = tables.find((whole) => whole.family === family);
      if (wanted !== undefined) {
        writeTable(batch, family, wanted.settings, wanted.elements.added);
      } else {
        // There is one to delete, whatever was there.
        batch.addTable(family);
        batch.deleteTable(family);
      }
    }
    await this.#commit(batch, candidates);
  }

  /**
   * What comes, in one transaction. Elements that get another comment are there again under the same key.
   * @throws BackendError when the kernel refuses it.
   */
  async add(changes: readonly TableChange[], candidates: Candidates): Promise<void> {
    await this.#change(candidates, (batch) => {
      for (const { family, elements } of changes) {
        writeElements(batch, family, "delete", splitRemoved(elements).replaced);
        writeElements(batch, family, "add", elements.added);
      }
    });
  }

  /** Takes back what `add` did. */
  async takeBack(changes: readonly TableChange[], candidates: Candidates): Promise<void> {
    await this.#change(candidates, (batch) => {
      for (const { family, elements } of changes) {
        writeElements(batch, family, "delete", elements.added);
        writeElements(batch, family, "add", splitRemoved(elements).replaced);
      }
    });
  }

  /** What goes, after `add`. */
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
 * Splits the removed elements: `replaced` ones make way for an added one and go with it in one transaction, `gone` ones
 * leave a gap.
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

/** What only one element can have: its key, but ranges of one frontend share a place because they may overlap. */
function placeOf(element: Element): string {
  return element.set + (guardedFrontend(element) ?? element.key);
}
