import type { LeftoversOfMode } from "../cleanup/other_modes.ts";
import type { Comparison } from "../../backend/contract.ts";
import { type Colour, coloured, printable } from "../output/table.ts";

/** The result of `proxy diff`. */
export interface DiffReport extends Comparison {
  readonly mode: string;
  /** Nothing would change. */
  readonly isEqual: boolean;
  /** The kernel objects of other modes, which a start removes once its own are in force. */
  readonly otherModes: readonly LeftoversOfMode[];
}

export function diffReport(
  mode: string,
  comparison: Comparison,
  otherModes: readonly LeftoversOfMode[],
): DiffReport {
  const { added, changed, removed } = comparison;
  const left = otherModes.filter(({ removed }) => removed.length > 0);
  const isEqual = [added, changed, removed, left].every(({ length }) => length === 0);
  return { mode, isEqual, ...comparison, otherModes: left };
}

const FOUND = {
  nothing: "no rules of this mode",
  foreign: "the rules of another program, such as kube-proxy",
  ours: "rules of this mode",
} as const;

const marks: readonly (readonly [kind: "added" | "changed" | "removed", mark: string, colour: Colour])[] = [
  ["added", "+", "green"],
  ["changed", "~", "yellow"],
  ["removed", "-", "red"],
];

/** Renders the report: one line per object, with + ~ or - before it. */
export function diffText(report: DiffReport, hasColours: boolean): string {
  const { mode, isEqual, found, otherModes } = report;
  const line = (mark: string, colour: Colour, text: string) =>
    `${coloured(`${mark} ${printable(text)}`, colour, hasColours)}\n`;
  const own = marks.flatMap(([kind, mark, colour]) => report[kind].map((text) => line(mark, colour, text)));
  const others = otherModes.flatMap(({ mode, removed }) => [
    `Once that is in force, a start removes what mode ${mode} has:\n`,
    ...removed.map((text) => line("-", "red", text)),
  ]);
  const verdict = isEqual ? "Nothing would change.\n" : `A start in mode ${mode} would change this kernel.\n`;
  return [`Found ${FOUND[found]}.\n`, ...own, ...others, verdict].join("");
}
