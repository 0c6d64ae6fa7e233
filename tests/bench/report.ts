/** One measured figure: what it is, its value with unit, and the bar it is held against. */
export interface Figure {
  readonly what: string;
  readonly value: string;
  readonly bar?: string;
}

/** A table as text; without the bars where they are for another size. */
export function rows(title: string, figures: readonly Figure[], withBars = true): string {
  const width = Math.max(...figures.map(({ what }) => what.length));
  const lines = figures.map(({ what, value, bar }) =>
    `  ${what.padEnd(width)}  ${value}${bar === undefined || !withBars ? "" : `   (bar: ${bar})`}`
  );
  return [title, ...lines, ""].join("\n");
}

export function milliseconds(value: number): string {
  return `${value < 10 ? value.toFixed(2) : value.toFixed(0)} ms`;
}

/** Value below which a share of the samples lies; 0.5 is the median. */
export function percentile(samples: readonly number[], share: number): number {
  const sorted = samples.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN;
}

export function distribution(samples: readonly number[]): string {
  return [["p50", 0.5], ["p90", 0.9], ["p99", 0.99], ["max", 1]]
    .map(([name, share]) => `${name} ${milliseconds(percentile(samples, Number(share)))}`)
    .join(", ");
}
