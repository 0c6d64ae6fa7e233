import type { UnservedNodePorts } from "../../backend/unserved_node_ports.ts";

/** Formats a duration with two or three digits: `850 µs`, `1.2 ms`, `34 s`, `5 min`, `2.5 h`, `3 d`. */
export function readableSeconds(seconds: number): string {
  for (const [unit, size, next] of DURATIONS) {
    if (seconds < next) return `${digits(seconds / size)} ${unit}`;
  }
  return `${digits(seconds / 86_400)} d`;
}

/** Units, their seconds, and the seconds from which the next unit is used. */
const DURATIONS = [
  ["µs", 1e-6, 0.001],
  ["ms", 0.001, 1],
  ["s", 1, 120],
  ["min", 60, 7200],
  ["h", 3600, 172_800],
] as const;

/** Formats a number with a decimal prefix: `12`, `1.2 k`, `3.4 M`. */
export function readableNumber(value: number): string {
  for (const [prefix, size] of PREFIXES) {
    if (value >= size) return `${digits(value / size)} ${prefix}`;
  }
  return digits(value);
}

const PREFIXES = [["T", 1e12], ["G", 1e9], ["M", 1e6], ["k", 1e3]] as const;

function digits(value: number): string {
  return value === 0 || value >= 10 ? String(Math.round(value)) : String(Number(value.toFixed(1)));
}

/** Formats the time since a moment: `12 s ago`. */
export function readableAge(at: string, now: string): string {
  const seconds = Math.max(0, (Date.parse(now) - Date.parse(at)) / 1000);
  return seconds < 1 ? "just now" : `${readableSeconds(Math.floor(seconds))} ago`;
}

/** Formats `1 change`, `12 k changes`. */
export function plural(count: number, word: string): string {
  return `${readableNumber(count)} ${word}${count === 1 ? "" : "s"}`;
}

/** Texts about node ports that are not served; none in modes that listen on none. */
export function unservedNodePortTexts(nodePorts: UnservedNodePorts | undefined): readonly string[] {
  if (nodePorts === undefined) return [];
  const { total, first } = nodePorts;
  const texts = first.map(({ servicePort, port, reason }) =>
    `${servicePort} is not served on node port ${port}, and is tried again: ${reason}`
  );
  return total > first.length ? [...texts, `${total - first.length} more node ports are not served`] : texts;
}
