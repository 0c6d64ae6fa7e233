/** Durations as Go writes them ("1m30s", "100ms", "1h"): the format of every Kubernetes component. */

const MILLISECONDS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  "µs": 1e-3, // U+00B5, micro sign
  "μs": 1e-3, // U+03BC, Greek letter mu
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

/** Go stores a duration as nanoseconds in 63 bits. */
const MAX_MS = 2 ** 63 / 1e6;

/** The longest whole number of hours that Go can store. Stands for "no limit". */
export const LONGEST_DURATION = "2562047h0m0s";

const PART = /(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)/y;

/** Returns milliseconds, or undefined if the text is not a duration. Every number except "0" needs a unit. */
export function parseDuration(text: string): number | undefined {
  const sign = text.startsWith("-") ? -1 : 1;
  const parts = text.replace(/^[+-]/, "");
  if (parts === "0") return 0;
  if (parts === "") return undefined;
  let total = 0;
  PART.lastIndex = 0;
  while (PART.lastIndex < parts.length) {
    const part = PART.exec(parts);
    if (part === null) return undefined;
    total += Number(part[1]) * (MILLISECONDS[part[2] ?? ""] ?? NaN);
  }
  return total <= MAX_MS ? sign * total : undefined;
}

/** Formats milliseconds as Go does: "1h0m0s", "1.5s", "100ms", "0s". */
export function formatDuration(ms: number): string {
  if (ms < 0) return `-${formatDuration(-ms)}`;
  if (ms === 0) return "0s";
  if (ms < 1e-3) return `${rounded(ms * 1e6)}ns`;
  if (ms < 1) return `${rounded(ms * 1e3)}µs`;
  if (ms < 1000) return `${rounded(ms)}ms`;
  const hours = Math.floor(ms / 3_600_000);
  const minutes = Math.floor(ms / 60_000) % 60;
  const seconds = `${rounded((ms % 60_000) / 1000)}s`;
  if (hours > 0) return `${hours}h${minutes}m${seconds}`;
  return minutes > 0 ? `${minutes}m${seconds}` : seconds;
}

/** Rounds to nine decimals, which hides the error of the binary fraction. */
function rounded(value: number): number {
  return Number(value.toFixed(9));
}
