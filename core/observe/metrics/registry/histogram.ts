import { NativeHistogram } from "./native_histogram.ts";
import { PromHistogram } from "./prom_client.ts";

export interface HistogramOptions<Label extends string> {
  readonly name: string;
  readonly help: string;
  readonly labels: readonly Label[];
  /** Inclusive upper bounds of the classic buckets, ascending, without infinity. */
  readonly buckets: readonly number[];
  /** True to keep native buckets beside the classic ones. */
  readonly native: boolean;
}

/** Counts values in classic buckets, and in native ones for scrapers that ask for protobuf. */
export class Histogram<Label extends string> {
  readonly classic: PromHistogram<Label>;
  readonly #options: HistogramOptions<Label>;
  readonly #native = new Map<string, NativeHistogram>();

  constructor(options: HistogramOptions<Label>) {
    this.#options = options;
    const { name, help, labels, buckets } = options;
    this.classic = new PromHistogram({
      name,
      help,
      labelNames: labels,
      buckets: [...buckets],
      registers: [],
    });
  }

  /** @param value a finite number. */
  observe(labels: Readonly<Record<Label, string>>, value: number): void {
    this.classic.observe(labels, value);
    if (!this.#options.native) return;
    const key = this.#key(labels);
    let native = this.#native.get(key);
    if (native === undefined) this.#native.set(key, native = new NativeHistogram());
    native.observe(value);
  }

  /** The native buckets of a label set; undefined when there are none. */
  native(labels: Readonly<Partial<Record<string, string | number>>>): NativeHistogram | undefined {
    return this.#native.get(this.#key(labels));
  }

  #key(labels: Readonly<Partial<Record<string, string | number>>>): string {
    return this.#options.labels.map((label) => labels[label]).join("\n");
  }
}

/** Returns `count` bounds from `start` on, each `factor` times the one before. */
export function exponentialBuckets(start: number, factor: number, count: number): readonly number[] {
  return Array.from({ length: count }, (_, index) => start * factor ** index);
}

/** Returns `count` bounds from `start` on, `width` apart. */
export function linearBuckets(start: number, width: number, count: number): readonly number[] {
  return Array.from({ length: count }, (_, index) => start + width * index);
}
