import { BoundedMap } from "./bounded_map.ts";

/** First time for which an endpoint that failed is avoided. Doubles with each further failure that counts. */
const FIRST_PERIOD_MS = 1000;
const MAX_PERIOD_MS = 30_000;
/** Time after the end of the period until an endpoint that was not chosen meanwhile is forgotten. */
const FORGET_MS = 60_000;
/** Endpoints that are remembered. The oldest one gives way. */
const MAX_ENTRIES = 4096;

interface Avoided {
  readonly periodMs: number;
  /** Time of the failure that counted. */
  readonly failedAt: number;
  /** Time since when one connection or flow tries it; undefined if none does. */
  triedAt: number | undefined;
}

/**
 * Endpoints that failed lately. They are avoided for a while, so that an endpoint that died costs one connection a
 * retry, and not all of them, until the API server removes it. When the time is over, one connection tries; the others
 * avoid the endpoint until it has succeeded.
 */
export class AvoidedEndpoints {
  readonly #entries = new BoundedMap<string, Avoided>(MAX_ENTRIES);
  readonly #silenceMs: number;

  /** @param silenceMs time without failure after which the trial of an endpoint counts as a success. */
  constructor(silenceMs = Infinity) {
    this.#silenceMs = silenceMs;
  }

  get size(): number {
    return this.#entries.size;
  }

  /**
   * Counts the failure of an attempt. Attempts that began before the last failure tell nothing new: when an endpoint is
   * away for a moment, all connections that wait for it fail. The same goes for those that had no choice but to try the
   * endpoint while it is avoided.
   * @param endpoint packed
   * @param began time when the attempt began
   */
  failed(endpoint: string, began: number, now: number): void {
    const known = this.#find(endpoint, now);
    if (known !== undefined && (began < known.failedAt || now < known.failedAt + known.periodMs)) return;
    const periodMs = known === undefined ? FIRST_PERIOD_MS : Math.min(known.periodMs * 2, MAX_PERIOD_MS);
    this.#entries.set(endpoint, { periodMs, failedAt: now, triedAt: undefined });
  }

  succeeded(endpoint: string): void {
    this.#entries.delete(endpoint);
  }

  /** Reports whether to choose another endpoint. If not, and the endpoint has failed before, the caller tries it now. */
  isAvoided(endpoint: string, now: number): boolean {
    const entry = this.#find(endpoint, now);
    if (entry === undefined) return false;
    if (endOf(entry) > now) return true;
    entry.triedAt = now;
    return false;
  }

  /** Endpoints that are avoided now, with the rest of their time in milliseconds. */
  *list(now: number): Generator<readonly [endpoint: string, remainingMs: number]> {
    for (const [endpoint, entry] of this.#entries) {
      if (endOf(entry) > now && !this.#hasSucceeded(entry, now)) yield [endpoint, endOf(entry) - now];
    }
  }

  /** Returns the entry of an endpoint, unless it is out of date. */
  #find(endpoint: string, now: number): Avoided | undefined {
    const entry = this.#entries.get(endpoint);
    if (entry === undefined) return undefined;
    if (endOf(entry) + FORGET_MS >= now && !this.#hasSucceeded(entry, now)) return entry;
    this.#entries.delete(endpoint);
    return undefined;
  }

  #hasSucceeded({ triedAt }: Avoided, now: number): boolean {
    return triedAt !== undefined && now - triedAt >= this.#silenceMs;
  }
}

function endOf({ periodMs, failedAt, triedAt }: Avoided): number {
  return (triedAt ?? failedAt) + periodMs;
}
