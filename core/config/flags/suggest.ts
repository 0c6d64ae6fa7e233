/** Returns the name that a mistyped word most likely stands for; undefined if none is similar enough. */
export function nearest(typed: string, names: Iterable<string>): string | undefined {
  const search = new NearestName(typed);
  for (const name of names) search.consider(name);
  return search.found;
}

/** Finds the name that a mistyped word most likely stands for among names that are considered one by one. */
export class NearestName {
  readonly #typed: string;
  #found: string | undefined;
  #distance: number;

  constructor(typed: string) {
    this.#typed = typed;
    // At most three letters and at most half of the word may be wrong.
    this.#distance = Math.min(3, Math.floor(typed.length / 2)) + 1;
  }

  consider(name: string): void {
    const distance = editDistance(this.#typed, name, this.#distance);
    if (distance < this.#distance) [this.#found, this.#distance] = [name, distance];
  }

  /** Undefined if none is similar enough. */
  get found(): string | undefined {
    return this.#found;
  }
}

/**
 * Optimal string alignment: the number of letters to insert, remove, replace or swap with their neighbour. Only the
 * diagonals whose distance may be less than `limit` are computed.
 * @returns `limit` or more if the distance is not less.
 */
function editDistance(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) >= limit) return limit;
  let beforeLast: Row = new Map();
  let last: Row = new Map(
    Array.from({ length: Math.min(b.length, limit) + 1 }, (_, column) => [column, column]),
  );
  let lowestBefore = 0;
  for (let i = 1; i <= a.length; i++) {
    const row: Row = new Map([[0, i]]);
    let lowest = i;
    for (let j = Math.max(1, i - limit); j <= Math.min(b.length, i + limit); j++) {
      const same = a[i - 1] === b[j - 1];
      let distance = Math.min(at(last, j) + 1, at(row, j - 1) + 1, at(last, j - 1) + (same ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        distance = Math.min(distance, at(beforeLast, j - 2) + 1);
      }
      row.set(j, distance);
      lowest = Math.min(lowest, distance);
    }
    // A swap continues from the row before the last.
    if (Math.min(lowest, lowestBefore) >= limit) return limit;
    [beforeLast, last, lowestBefore] = [last, row, lowest];
  }
  return at(last, b.length);
}

/** Distances by column; those that are missing are too large. */
type Row = Map<number, number>;

function at(row: Row, column: number): number {
  return row.get(column) ?? Infinity;
}
