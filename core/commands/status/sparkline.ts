const BARS = "▁▂▃▄▅▆▇█";

/** Draws values, the oldest first, as one character each. Zero and the largest value are the ends of the scale. */
export function sparkline(values: readonly number[]): string {
  const top = Math.max(...values, 0);
  return values.map((value) => BARS[top === 0 ? 0 : Math.round((value / top) * (BARS.length - 1))] ?? "")
    .join("");
}
