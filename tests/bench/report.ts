/** One measured figure: what it is, its value with unit, and the bar it is held against. */
export interface Figure {
  readonly what: string;
  readonly value: string;
  readonly bar?: Bar;
}

export interface Bar {
  readonly limit: string;
  readonly isMet: boolean;
}

/** A table as text; without the bars where they are for another size. */
export function rows(title: string, figures: readonly Figure[], withBars = true): string {
  const width = Math.max(...figures.map(({ what }) => what.length));
  const lines = figures.map(({ what, value, bar }) =>
    `  ${what.padEnd(width)}  ${value}${bar === undefined || !withBars ? "" : `   (${inWords(bar)})`}`
  );
  return [title, ...lines, ""].join("\n");
}

/** @param shown the limit in words. */
export function atMost(measured: number, limit: number, shown: string): Bar {
  return { limit: `at most ${shown}`, isMet: measured <= limit };
}

/** @param unit follows the limit: "times as fast". */
export function atLeast(measured: number, limit: number, unit: string): Bar {
  return { limit: `at least ${limit} ${unit}`, isMet: measured >= limit };
}

/** Both of them. */
export function bothBars(one: Bar, other: Bar): Bar {
  return { limit: `${one.limit}, ${other.limit}`, isMet: one.isMet && other.isMet };
}

export function inWords({ limit, isMet }: Bar): string {
  return `bar: ${limit}${isMet ? "" : ": MISSED"}`;
}

export function milliseconds(value: number): string {
  return `${value < 10 ? value.toFixed(2) : value.toFixed(0)} ms`;
}

/** Value below which a share of the samples lies; 0.5 is the median. */
export function percentile(samples: readonly number[], share: number): number {
  const sorted = samples.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN;
}

export function median(samples: readonly number[]): number {
  return percentile(samples, 0.5);
}

export function distribution(samples: readonly number[]): string {
  return [["p50", 0.5], ["p90", 0.9], ["p99", 0.99], ["max", 1]]
    .map(([name, share]) => `${name} ${milliseconds(percentile(samples, Number(share)))}`)
    .join(", ");
}
