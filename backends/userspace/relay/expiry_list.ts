/** An object with a deadline that is in at most one ExpiryList. */
export class Expiring {
  /** Milliseconds of the clock of the thread. */
  deadline = 0;
  /** Neighbours in the list; undefined outside of a list. */
  previous: Expiring | undefined;
  next: Expiring | undefined;
}

/**
 * Objects that expire after the same time, the next one first. All operations take constant time and no memory: a
 * connection is added and removed for every attempt to connect.
 */
export class ExpiryList<Entry extends Expiring> {
  /** Head of a ring, so that no operation has a special case. */
  readonly #ring = new Expiring();
  readonly #delayMs: number;

  constructor(delayMs: number) {
    this.#delayMs = delayMs;
    this.#ring.previous = this.#ring;
    this.#ring.next = this.#ring;
  }

  /** Adds an entry, or renews its deadline. */
  renew(entry: Entry, now: number): void {
    this.remove(entry);
    entry.deadline = now + this.#delayMs;
    const last = this.#ring.previous;
    entry.previous = last;
    entry.next = this.#ring;
    if (last !== undefined) last.next = entry;
    this.#ring.previous = entry;
  }

  /** Removes an entry from the list that it is in, which may be none. */
  remove(entry: Entry): void {
    const { previous, next } = entry;
    if (previous === undefined || next === undefined) return;
    previous.next = next;
    next.previous = previous;
    entry.previous = undefined;
    entry.next = undefined;
  }

  /** The entry whose deadline is the next one; undefined if there is none. */
  get first(): Entry | undefined {
    const { next } = this.#ring;
    // Only `renew` adds entries, so all but the head are of this type.
    return next === this.#ring ? undefined : next as Entry;
  }

  /** Entries in the order of their deadlines. The current one may be removed meanwhile. */
  *all(): Generator<Entry> {
    let entry = this.#ring.next;
    while (entry !== undefined && entry !== this.#ring) {
      const { next }: Expiring = entry;
      yield entry as Entry;
      entry = next;
    }
  }

  /** Deadline of the first entry; Infinity without one. */
  get nextDeadline(): number {
    const { next } = this.#ring;
    return next === undefined || next === this.#ring ? Infinity : next.deadline;
  }

  /** Removes and returns an entry whose deadline has passed. */
  takeExpired(now: number): Entry | undefined {
    const { first } = this;
    if (first === undefined || first.deadline > now) return undefined;
    this.remove(first);
    return first;
  }
}
