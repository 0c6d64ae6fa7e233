import type { Rule } from "./rules.ts";

export interface Chain {
  readonly name: string;
  /** Where packets enter; chains without are entered from others. */
  readonly hook?: Hook;
  readonly rules: readonly Rule[];
}

export interface Hook {
  readonly type: "filter" | "nat";
  readonly number: number;
  readonly priority: number;
}

export function baseChain(
  name: string,
  type: Hook["type"],
  number: number,
  priority: number,
  ...rules: readonly Rule[]
): Chain {
  return { name, hook: { type, number, priority }, rules };
}
