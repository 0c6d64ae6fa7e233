import { BackendError } from "../../../core/backend/contract.ts";
import type { SetDifference } from "../../difference.ts";
import type { TableBatch } from "../batch.ts";
import type { NfTables } from "../connection.ts";
import { TABLE_FAMILIES, type TableFamily } from "../families.ts";
import { explainRejection } from "../rejection.ts";
import { readSchemas, type TableSchema } from "../schema.ts";
import type { Element } from "../set/element.ts";
import { guardedFrontend } from "../set/shared.ts";
import { type Candidates, rejectedPlans } from "./rejected_plans.ts";
import { type FixedTable, type TableContents, writeElements, writeTable } from "./table.ts";

/** A change to the table of one family. */
export interface TableChange<Settings> {
  readonly family: TableFamily;
  readonly settings: Settings;
  readonly elements: SetDifference<Element>;
}

/**
 * The tables of a mode in the kernel, one per family. They change as a whole, or by elements: in one transaction, or in
 * two steps around other changes.
 */
export class FixedTables<Settings> {
  readonly #definition: FixedTable<Settings>;
  readonly #kernel: NfTables;

  constructor(definition: FixedTable<Settings>, kernel: NfTables) {
    this.#definition = definition;
    this.#kernel = kernel;
  }

  /** The families whose table exists. */
  families(): Promise<readonly TableFamily[]> {
    return this.#kernel.familiesOf(this.#definition.table.name);
  }

  /**
   * Replaces all tables in one transaction. Counters stay. Deletes tables of other families.
   * @param existing the tables in the kernel, as `schemas` returned them.
   * @param writeMore adds changes of other objects to the transaction.
   * @throws BackendError when the kernel rejects the transaction.
   */
  async replace(
    tables: readonly TableContents<Settings>[],
    existing: ReadonlyMap<number, TableSchema>,
    candidates: Candidates,
    writeMore: (batch: TableBatch) => void = () => {},
  ): Promise<void> {
    const write = async (actual: ReadonlyMap<number, TableSchema>) => {
      const batch = this.#kernel.beginTable(this.#definition.table);
      for (const family of TABLE_FAMILIES) {
        const isUnwanted = tables.every((table) => table.family !== family);
        if (isUnwanted && existing.has(family.nfproto)) batch.removeTable(family);
      }
      for (const table of tables) {
        writeTable(this.#definition, batch, table, actual.get(table.family.nfproto));
      }
      writeMore(batch);
      await this.#commit(batch, candidates);
    };
    try {
      await write(existing);
    } catch (error) {
      if (!(error instanceof BackendError) || existing.size === 0) throw error;
      // A table changed since it was read, or has an object that cannot be emptied in place.
      await write(new Map());
    }
  }

  /** The existing tables by NFPROTO_. */
  async schemas(): Promise<ReadonlyMap<number, TableSchema>> {
    if (await this.#kernel.isAbsent()) return new Map();
    return await readSchemas(this.#kernel.client, this.#definition.table.name);
  }

  /**
   * Deletes and adds elements in one transaction.
   * @param writeMore adds changes of other objects to the transaction.
   * @throws BackendError when the kernel rejects the transaction.
   */
  async update(
    changes: readonly TableChange<Settings>[],
    candidates: Candidates,
    writeMore: (batch: TableBatch) => void = () => {},
  ): Promise<void> {
    await this.#change(candidates, (batch) => {
      for (const change of changes) {
        this.#write(batch, change, "delete", change.elements.removed);
        this.#write(batch, change, "add", change.elements.added);
      }
      writeMore(batch);
    });
  }

  /**
   * Adds elements in one transaction, and replaces those that get another value or comment under the same key.
   * @throws BackendError when the kernel rejects the transaction.
   */
  async add(changes: readonly TableChange<Settings>[], candidates: Candidates): Promise<void> {
    await this.#change(candidates, (batch) => {
      for (const change of changes) {
        this.#write(batch, change, "delete", splitRemoved(change.elements).replaced);
        this.#write(batch, change, "add", change.elements.added);
      }
    });
  }

  /** Undoes `add`. */
  async rollBack(changes: readonly TableChange<Settings>[], candidates: Candidates): Promise<void> {
    await this.#change(candidates, (batch) => {
      for (const change of changes) {
        this.#write(batch, change, "delete", change.elements.added);
        this.#write(batch, change, "add", splitRemoved(change.elements).replaced);
      }
    });
  }

  /** Removes elements, after `add`. */
  async remove(changes: readonly TableChange<Settings>[], candidates: Candidates): Promise<void> {
    await this.#change(candidates, (batch) => {
      for (const change of changes) this.#write(batch, change, "delete", splitRemoved(change.elements).gone);
    });
  }

  #write(
    batch: TableBatch,
    { family, settings }: TableChange<Settings>,
    action: "add" | "delete",
    elements: Iterable<Element>,
  ): void {
    writeElements(batch, family, action, this.#definition.setsOf(family, settings), elements);
  }

  async #change(candidates: Candidates, write: (batch: TableBatch) => void): Promise<void> {
    const batch = this.#kernel.beginTable(this.#definition.table);
    write(batch);
    if (!batch.isEmpty) await this.#commit(batch, candidates);
  }

  /** @throws BackendError when the kernel rejects the batch. */
  async #commit(batch: TableBatch, candidates: Candidates): Promise<void> {
    const { mode, table, describeElement } = this.#definition;
    const { foreignChange } = await this.#kernel.commit(
      batch,
      (bytes, answer) =>
        explainRejection(bytes, answer, {
          mode,
          table: table.name,
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
