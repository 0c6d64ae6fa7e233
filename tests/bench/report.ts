/** One measured figure: its name, its value with unit, and its target if it has one. */
export interface Figure {
  readonly name: string;
  readonly value: string;
  readonly target?: Target;
}

/** Performance target of a figure. */
export interface Target {
  readonly limit: string;
  readonly isMet: boolean;
}

/** A text table. @param withTargets false if the targets are for another cluster size. */
export function rows(title: string, figures: readonly Figure[], withTargets = true): string {
  const width = Math.max(...figures.map(({ name }) => name.length));
  const lines = figures.map(({ name, value, target }) =>
    `  ${name.padEnd(width)}  ${value}${
      target === undefined || !withTargets ? "" : `   (${describeTarget(target)})`
    }`
  );
  return [title, ...lines, ""].join("\n");
}

/** @param shown the limit as text. */
export function atMost(measured: number, limit: number, shown: string): Target {
  return { limit: `at most ${shown}`, isMet: measured <= limit };
}

/** @param unit text after the limit, such as "times as fast". */
export function atLeast(measured: number, limit: number, unit: string): Target {
  return { limit: `at least ${limit} ${unit}`, isMet: measured >= limit };
}

/** A target that is met if both targets are. */
export function bothTargets(one: Target, other: Target): Target {
  return { limit: `${one.limit}, ${other.limit}`, isMet: one.isMet && other.isMet };
}

function describeTarget({ limit, isMet }: Target): string {
  return `target: ${limit}${isMet ? "" : ": MISSED"}`;
}

export function milliseconds(value: number): string {
  return `${value < 10 ? value.toFixed(2) : value.toFixed(0)} ms`;
}

/** Value below which a share of the samples lies; a share of 0.5 gives the median. */
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
