import { BoundedMap } from "./bounded_map.ts";

/** First time for which an endpoint that failed is avoided. Doubles with each further failure. */
const FIRST_PERIOD_MS = 1000;
const MAX_PERIOD_MS = 30_000;
/** Time after the end of the period until an endpoint that was not chosen meanwhile is forgotten. */
const FORGET_MS = 60_000;
/** Endpoints that are remembered. The oldest one gives way. */
const MAX_ENTRIES = 4096;

interface Avoided {
  periodMs: number;
  until: number;
}

/**
 * Endpoints that failed lately. They are avoided for a while, so that an endpoint that died costs one connection a
 * retry, and not all of them, until the API server removes it. When the time is over, one connection tries; the others
 * avoid the endpoint until it has succeeded.
 */
export class AvoidedEndpoints {
  readonly #entries = new BoundedMap<string, Avoided>(MAX_ENTRIES);

  get size(): number {
    return this.#entries.size;
  }

  /** @param endpoint a name that is unique per protocol, address and port */
  failed(endpoint: string, now: number): void {
    const periodMs = Math.min(
      (this.#entries.get(endpoint)?.periodMs ?? FIRST_PERIOD_MS / 2) * 2,
      MAX_PERIOD_MS,
    );
    this.#entries.set(endpoint, { periodMs, until: now + periodMs });
  }

  succeeded(endpoint: string): void {
    this.#entries.delete(endpoint);
  }

  /** Reports whether to choose another endpoint. If not, and the endpoint has failed before, the caller tries it now. */
  isAvoided(endpoint: string, now: number): boolean {
    const entry = this.#entries.get(endpoint);
    if (entry === undefined) return false;
    if (entry.until > now) return true;
    if (entry.until + FORGET_MS < now) this.#entries.delete(endpoint);
    else entry.until = now + entry.periodMs;
    return false;
  }

  /** Endpoints that are avoided now, with the rest of their time in milliseconds. */
  *list(now: number): Generator<readonly [endpoint: string, remainingMs: number]> {
    for (const [endpoint, { until }] of this.#entries) if (until > now) yield [endpoint, until - now];
  }
}
