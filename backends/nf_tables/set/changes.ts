import { difference, type SetDifference } from "../../difference.ts";
import { UseChanges } from "../../use_counts.ts";
import type { Element } from "./element.ts";

/**
 * The set elements that a batch of changes deletes and adds. The kernel cannot change an element, so one with
 * a new value or comment is both deleted and added.
 */
export interface ElementDifference extends SetDifference<Element> {
  /** Changed uses of shared elements by elementId: to be counted once the batch is in force. */
  readonly uses: UseChanges<Element>;
}

/**
 * Compares the elements of all changes at once: a frontend that moves from one service port to another is one
 * key that is deleted and added.
 * @param compile returns the elements of the old or new side of a change.
 * @param sharedSets sets whose elements exist while any service port uses them.
 * @param usesOf returns the uses of a shared element, by elementId, before the batch.
 */
export function diffElements<Source>(
  changes: Iterable<{ readonly old: Source | undefined; readonly new: Source | undefined }>,
  compile: (source: Source) => readonly Element[],
  sharedSets: ReadonlySet<string>,
  usesOf: (id: string) => number,
): ElementDifference {
  const before: Element[] = [];
  const after: Element[] = [];
  const uses = new UseChanges<Element>();
  const collect = (source: Source | undefined, own: Element[], change: 1 | -1) => {
    if (source === undefined) return;
    for (const element of compile(source)) {
      if (sharedSets.has(element.set)) uses.use(elementId(element), element, change);
      else own.push(element);
    }
  };
  for (const { old, new: next } of changes) {
    collect(old, before, -1);
    collect(next, after, 1);
  }
  const own = difference(after, before, elementId, sameElement);
  const shared = uses.difference(usesOf);
  return {
    removed: [...own.changed.map(({ actual }) => actual), ...own.removed, ...shared.removed],
    added: [...own.changed.map(({ desired }) => desired), ...own.added, ...shared.added],
    uses,
  };
}

/** Identifies an element within its table. */
export function elementId({ set, key }: Element): string {
  return set + key;
}

function sameElement(a: Element, b: Element): boolean {
  return a.value === b.value && a.comment === b.comment;
}
