/**
 * The difference between the desired and the actual state, matched by key:
 *
 *     desired
 *     ┌───────────────────────────┐
 *     │         actual            │
 *     │         ┌─────────────────┼───────────┐
 *     │  added  │ equal ╎ changed │  removed  │
 *     │         └─────────────────┼───────────┘
 *     └───────────────────────────┘
 *
 * Equal things need no work. After Calico Felix's DeltaTracker, but without state of its own: what a backend
 * last programmed follows from the plans, so that a difference is a function of two values.
 */
export interface Difference<Desired, Actual = Desired> {
  /** Desired, but not actual: to be created. */
  readonly added: readonly Desired[];
  /** Actual, but not as desired: to be updated, or to be deleted and created. */
  readonly changed: readonly { readonly desired: Desired; readonly actual: Actual }[];
  /** Actual, but not desired: to be deleted. */
  readonly removed: readonly Actual[];
}

/**
 * A difference of things that cannot change in place: their key is all there is, or a change removes and adds
 * them.
 */
export type SetDifference<Desired, Actual = Desired> = Omit<Difference<Desired, Actual>, "changed">;

/**
 * @param keyOf identifies a thing: equal keys, one thing.
 * @param isSame reports whether the actual thing needs no change; by default the key is all there is.
 */
export function difference<Desired, Actual = Desired>(
  desired: Iterable<Desired>,
  actual: Iterable<Actual>,
  keyOf: (thing: Desired | Actual) => unknown,
  isSame: (desired: Desired, actual: Actual) => boolean = () => true,
): Difference<Desired, Actual> {
  const added: Desired[] = [];
  const changed: { desired: Desired; actual: Actual }[] = [];
  const removed: Actual[] = [];
  compare(desired, actual, keyOf, {
    added: (one) => added.push(one),
    matched: (one, other) => {
      if (!isSame(one, other)) changed.push({ desired: one, actual: other });
    },
    removed: (one) => removed.push(one),
  });
  return { added, changed, removed };
}

/** Receives every desired and actual thing once. */
export interface Comparison<Desired, Actual> {
  added(desired: Desired): void;
  /** Both are the same thing by key; they may differ otherwise. */
  matched(desired: Desired, actual: Actual): void;
  removed(actual: Actual): void;
}

/**
 * Walks through both states without building lists: the desired things in their order, then the removed ones.
 */
export function compare<Desired, Actual = Desired>(
  desired: Iterable<Desired>,
  actual: Iterable<Actual>,
  keyOf: (thing: Desired | Actual) => unknown,
  comparison: Comparison<Desired, Actual>,
): void {
  const unmatched = new Map<unknown, Actual>();
  for (const one of actual) unmatched.set(keyOf(one), one);
  for (const one of desired) {
    // Making keys costs as much as all the rest, so none is made while nothing is left to match.
    const key = unmatched.size === 0 ? undefined : keyOf(one);
    const match = unmatched.get(key);
    if (match === undefined) {
      comparison.added(one);
    } else {
      unmatched.delete(key);
      comparison.matched(one, match);
    }
  }
  for (const one of unmatched.values()) comparison.removed(one);
}
