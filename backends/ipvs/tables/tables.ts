import type { NodeSettings, PlanKey, ServicePortPlan } from "../../../core/plan/plan.ts";
import { errnoOf } from "../../../ffi/errno.ts";
import type { Acknowledgement } from "../../../ffi/netlink/reader.ts";
import { rejectionError } from "../../../ffi/netlink/exchange.ts";
import type { BackendError } from "../../../core/backend/contract.ts";
import type { SetDifference } from "../../difference.ts";
import type { NfTables } from "../../nf_tables/connection.ts";
import type { Element } from "../../nf_tables/elements.ts";
import { tableFamilies, type TableFamily } from "../../nf_tables/families.ts";
import { backendError } from "../../backend_errors.ts";
import { inWords, refusedOf } from "../../nf_tables/rejection.ts";
import { readShapes } from "../../nf_tables/schema.ts";
import type { Compiled } from "../compile.ts";
import { culpritsOf, elementInWords } from "./rejection.ts";
import { guardedFrontend } from "./sets.ts";
import { IpvsTableBatch, table, writeElements, writeTable } from "./chains.ts";

/** What changes in the table of one family. */
export interface TableChange {
  readonly family: TableFamily;
  readonly elements: SetDifference<Element>;
}

/** The whole table of one family: its elements are all that are added. */
export interface WholeTable extends TableChange {
  readonly settings: NodeSettings;
}

/** Where a refusal's culprits are looked for. */
export interface Suspects {
  readonly plans: Iterable<ServicePortPlan>;
  readonly compile: (plan: ServicePortPlan) => Compiled | undefined;
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

/** Our nf_tables tables: written as a whole, or by their elements in two steps around what IPVS is told. */
export class OwnTables {
  readonly #kernel: NfTables;

  constructor(kernel: NfTables) {
    this.#kernel = kernel;
  }

  /** The families that have one. */
  async found(): Promise<readonly TableFamily[]> {
    const shapes = await readShapes(this.#kernel.client, table.name);
    return tableFamilies.filter(({ nfproto }) => shapes.has(nfproto));
  }

  /**
   * In place of all there are, in one transaction; those of other families go.
   * @throws BackendError when the kernel refuses it.
   */
  async replace(tables: readonly WholeTable[], suspects: Suspects): Promise<void> {
    const batch = this.#kernel.begin(IpvsTableBatch);
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
    await this.#commit(batch, suspects);
  }

  /**
   * What comes, in one transaction. Elements that get another comment are there again under the same key.
   * @throws BackendError when the kernel refuses it.
   */
  async add(changes: readonly TableChange[], suspects: Suspects): Promise<void> {
    await this.#change(suspects, (batch) => {
      for (const { family, elements } of changes) {
        writeElements(batch, family, "delete", splitRemoved(elements).replaced);
        writeElements(batch, family, "add", elements.added);
      }
    });
  }

  /** Takes back what `add` did. */
  async takeBack(changes: readonly TableChange[], suspects: Suspects): Promise<void> {
    await this.#change(suspects, (batch) => {
      for (const { family, elements } of changes) {
        writeElements(batch, family, "delete", elements.added);
        writeElements(batch, family, "add", splitRemoved(elements).replaced);
      }
    });
  }

  /** What goes, after `add`. */
  async remove(changes: readonly TableChange[], suspects: Suspects): Promise<void> {
    await this.#change(suspects, (batch) => {
      for (const { family, elements } of changes) {
        writeElements(batch, family, "delete", splitRemoved(elements).gone);
      }
    });
  }

  async #change(suspects: Suspects, write: (batch: IpvsTableBatch) => void): Promise<void> {
    const batch = this.#kernel.begin(IpvsTableBatch);
    write(batch);
    if (!batch.isEmpty) await this.#commit(batch, suspects);
  }

  async #commit(batch: IpvsTableBatch, suspects: Suspects): Promise<void> {
    const { unheard } = await this.#kernel.commit(
      batch,
      (bytes, answer) => this.#refusalError(bytes, answer, suspects),
    );
    if (unheard && this.#kernel.isWatched) this.#kernel.report("nf_tables changed while it was written");
  }

  #refusalError(bytes: Uint8Array, answer: Acknowledgement, { plans, compile }: Suspects): BackendError {
    const refused = refusedOf(bytes, answer);
    if (refused === undefined) return backendError("ipvs", rejectionError("change nf_tables", answer));
    // What is not there is nobody's fault: the kernel holds something else than we believe.
    const isAstray = answer.errno === errnoOf("ENOENT");
    const culprits = culpritsOf(refused, plans, compile);
    const error = rejectionError(inWords(table.name, refused, culprits, elementInWords), answer);
    if (isAstray) this.#kernel.report(`a change met something else than we wrote: ${error.message}`);
    return backendError("ipvs", error, isAstray ? [] : keysOf(culprits));
  }
}

function keysOf(plans: readonly ServicePortPlan[]): PlanKey[] {
  return [...new Set(plans.map(({ key }) => key))];
}
