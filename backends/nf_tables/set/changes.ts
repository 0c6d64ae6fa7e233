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
  const collect = (elements: readonly Element[], own: Element[], change: 1 | -1) => {
    for (const element of elements) {
      if (sharedSets.has(element.set)) uses.use(elementId(element), element, change);
      else own.push(element);
    }
  };
  for (const { old, new: next } of changes) {
    const olds = old === undefined ? [] : compile(old);
    const news = next === undefined ? [] : compile(next);
    const rest = withoutEqual(olds, news);
    collect(rest.olds, before, -1);
    collect(rest.news, after, 1);
  }
  const own = difference(after, before, elementId, sameElement);
  const shared = uses.difference(usesOf);
  return {
    removed: [...own.changed.map(({ actual }) => actual), ...own.removed, ...shared.removed],
    added: [...own.changed.map(({ desired }) => desired), ...own.added, ...shared.added],
    uses,
  };
}

/**
 * Leaves out elements that both sides of a change have, because looking them up by key would take most of the
 * time. Both lists are compiled in the same order, so equal elements are found next to each other, after at
 * most a few elements that only one list has. What is not found stays, which is never wrong.
 */
function withoutEqual(
  olds: readonly Element[],
  news: readonly Element[],
): { readonly olds: readonly Element[]; readonly news: readonly Element[] } {
  if (olds.length === 0 || news.length === 0) return { olds, news };
  const rest = { olds: [] as Element[], news: [] as Element[] };
  let [atOld, atNew] = [0, 0];
  for (;;) {
    const [old, next] = [olds[atOld], news[atNew]];
    if (old === undefined || next === undefined) break;
    if (isSameKey(old, next)) {
      if (!sameElement(old, next)) {
        rest.olds.push(old);
        rest.news.push(next);
      }
      atOld++;
      atNew++;
      continue;
    }
    const onlyOld = distanceTo(next, olds, atOld);
    const onlyNew = onlyOld > 0 ? 0 : Math.max(1, distanceTo(old, news, atNew));
    pushRange(rest.olds, olds, atOld, atOld += onlyOld);
    pushRange(rest.news, news, atNew, atNew += onlyNew);
  }
  pushRange(rest.olds, olds, atOld, olds.length);
  pushRange(rest.news, news, atNew, news.length);
  return rest;
}

function pushRange(to: Element[], from: readonly Element[], start: number, end: number): void {
  for (const element of from.slice(start, end)) to.push(element);
}

const MAX_DISTANCE = 8;

/** How many elements after `from` the list has an element with the same key; 0 if it is too far away. */
function distanceTo(element: Element, list: readonly Element[], from: number): number {
  const end = Math.min(list.length, from + MAX_DISTANCE + 1);
  for (let at = from + 1; at < end; at++) {
    const other = list[at];
    if (other !== undefined && isSameKey(element, other)) return at - from;
  }
  return 0;
}

function isSameKey(a: Element, b: Element): boolean {
  return a.key === b.key && a.set === b.set;
}

/** Identifies an element within its table. */
export function elementId({ set, key }: Element): string {
  return set + key;
}

function sameElement(a: Element, b: Element): boolean {
  return a.value === b.value && a.comment === b.comment;
}
