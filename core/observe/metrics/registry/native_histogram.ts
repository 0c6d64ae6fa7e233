/**
 * A native histogram of Prometheus: exponential buckets that exist only where there are values. The parameters are those
 * of kube-proxy (k8s.io/component-base/metrics/internal/nativehistograms.go): buckets grow by at most 1.1, and there are
 * at most 160.
 */
export class NativeHistogram {
  /** Bucket i has the values above base^(i-1) up to base^i, where base is 2^(2^-schema). */
  #schema = FIRST_SCHEMA;
  #zeroCount = 0;
  #positive = new Map<number, number>();
  #negative = new Map<number, number>();
  #count = 0;
  #sum = 0;

  /** @param value a finite number. */
  observe(value: number): void {
    this.#count++;
    this.#sum += value;
    if (Math.abs(value) <= ZERO_THRESHOLD) {
      this.#zeroCount++;
      return;
    }
    const buckets = value > 0 ? this.#positive : this.#negative;
    const index = bucketIndex(Math.abs(value), this.#schema);
    buckets.set(index, (buckets.get(index) ?? 0) + 1);
    if (this.#positive.size + this.#negative.size > MAX_BUCKETS) this.#halveResolution();
  }

  get data(): NativeHistogramData {
    return {
      schema: this.#schema,
      zeroThreshold: ZERO_THRESHOLD,
      zeroCount: this.#zeroCount,
      count: this.#count,
      sum: this.#sum,
      positive: sparseBuckets(this.#positive),
      negative: sparseBuckets(this.#negative),
    };
  }

  /** Merges pairs of neighbouring buckets. Below the lowest schema of the format there is nothing left to merge. */
  #halveResolution(): void {
    if (this.#schema <= LAST_SCHEMA) return;
    this.#schema--;
    this.#positive = merged(this.#positive);
    this.#negative = merged(this.#negative);
  }
}

export interface NativeHistogramData {
  readonly schema: number;
  readonly zeroThreshold: number;
  readonly zeroCount: number;
  readonly count: number;
  readonly sum: number;
  readonly positive: SparseBuckets;
  readonly negative: SparseBuckets;
}

/** Buckets as the exposition format has them. */
export interface SparseBuckets {
  /** Runs of buckets. The offset is the distance from the end of the run before, of the first run from bucket 0. */
  readonly spans: readonly { readonly offset: number; readonly length: number }[];
  /** Count of each bucket as the difference from the bucket before. */
  readonly deltas: readonly number[];
}

/** The first schema whose growth factor, 2^(1/8), is at most 1.1. */
const FIRST_SCHEMA = 3;
/** Lowest schema of the format. */
const LAST_SCHEMA = -4;
const MAX_BUCKETS = 160;
/** prometheus.DefNativeHistogramZeroThreshold of client_golang. */
const ZERO_THRESHOLD = 2 ** -128;
/** A shorter gap between two runs of buckets is encoded as empty buckets, as client_golang does. */
const MIN_GAP = 3;

/** Index of the bucket of a positive value. */
export function bucketIndex(value: number, schema: number): number {
  const perOctave = 2 ** schema;
  let index = Math.ceil(Math.log2(value) * perOctave);
  // The logarithm is rounded, so that a value on a bound may come out beside its bucket.
  if (value <= 2 ** ((index - 1) / perOctave)) index--;
  else if (value > 2 ** (index / perOctave)) index++;
  return index;
}

function merged(buckets: ReadonlyMap<number, number>): Map<number, number> {
  const coarse = new Map<number, number>();
  for (const [index, count] of buckets) {
    const into = Math.ceil(index / 2);
    coarse.set(into, (coarse.get(into) ?? 0) + count);
  }
  return coarse;
}

function sparseBuckets(buckets: ReadonlyMap<number, number>): SparseBuckets {
  const spans: { offset: number; length: number }[] = [];
  const deltas: number[] = [];
  let previous = 0;
  let next = 0;
  const append = (count: number) => {
    const span = spans.at(-1);
    if (span !== undefined) span.length++;
    deltas.push(count - previous);
    previous = count;
  };
  for (const [index, count] of [...buckets].sort(([a], [b]) => a - b)) {
    const gap = index - next;
    if (spans.length === 0 || gap >= MIN_GAP) spans.push({ offset: gap, length: 0 });
    else for (let empty = 0; empty < gap; empty++) append(0);
    append(count);
    next = index + 1;
  }
  return { spans, deltas };
}
