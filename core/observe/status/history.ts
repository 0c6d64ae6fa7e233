/** Length of one bucket of the history. */
export const BUCKET_SECONDS = 10;
/** One hour. */
const BUCKETS = 360;

/** The syncs within `BUCKET_SECONDS`. Only buckets with a sync exist. */
export interface HistoryBucket {
  /** Start of the bucket in seconds since the epoch. */
  readonly at: number;
  readonly partialSyncs: number;
  readonly fullSyncs: number;
  readonly changes: number;
  /** Duration of the longest sync in seconds. */
  readonly syncSeconds: number;
  /** Largest network programming latency in seconds; undefined if no endpoint change came into force. */
  readonly lagSeconds?: number;
}

/** A sync as the history needs it. */
export interface HistorySample {
  readonly full: boolean;
  readonly seconds: number;
  readonly changes: number;
  /** Largest network programming latency in seconds; undefined if no endpoint change came into force. */
  readonly lagSeconds: number | undefined;
}

/**
 * The syncs of the last hour for plots: a ring of at most 360 buckets, which only syncs fill, so that an idle process does
 * nothing.
 */
export class History {
  readonly #ring: (HistoryBucket | undefined)[] = new Array(BUCKETS).fill(undefined);

  /** @param nowMs milliseconds since the epoch. */
  add({ full, seconds, changes, lagSeconds }: HistorySample, nowMs: number): void {
    const number = bucketNumber(nowMs);
    const at = number * BUCKET_SECONDS;
    const known = this.#ring[number % BUCKETS];
    const before = known?.at === at ? known : undefined;
    const lag = before?.lagSeconds === undefined && lagSeconds === undefined
      ? undefined
      : Math.max(before?.lagSeconds ?? 0, lagSeconds ?? 0);
    this.#ring[number % BUCKETS] = {
      at,
      partialSyncs: (before?.partialSyncs ?? 0) + (full ? 0 : 1),
      fullSyncs: (before?.fullSyncs ?? 0) + (full ? 1 : 0),
      changes: (before?.changes ?? 0) + changes,
      syncSeconds: Math.max(before?.syncSeconds ?? 0, seconds),
      ...(lag === undefined ? {} : { lagSeconds: lag }),
    };
  }

  /** The buckets of the hour before `nowMs`, the oldest first. */
  lastHour(nowMs: number): readonly HistoryBucket[] {
    const newest = bucketNumber(nowMs) * BUCKET_SECONDS;
    const oldest = newest - (BUCKETS - 1) * BUCKET_SECONDS;
    return this.#ring
      .filter((bucket) => bucket !== undefined)
      .filter(({ at }) => at >= oldest && at <= newest)
      .sort((a, b) => a.at - b.at);
  }
}

function bucketNumber(nowMs: number): number {
  return Math.floor(nowMs / 1000 / BUCKET_SECONDS);
}
