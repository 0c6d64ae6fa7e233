import assert from "node:assert/strict";
import { isAnswered, type Outcome } from "../../lab/agent.ts";

/** One result of an attack in one mode: `value` of `of` attempts. */
export interface Figure {
  readonly what: string;
  readonly value: number;
  readonly of: number;
  /** Bound in any mode, as a share of `of`. A figure with `atMost` is better the lower it is. */
  readonly bound: { readonly atLeast: number } | { readonly atMost: number };
  /** Difference between the modes that is taken for chance, as a share of `of`. */
  readonly tolerance: number;
}

/** A figure of which every attempt must succeed. */
export function allOf(what: string, value: number, of: number): Figure {
  return { what, value, of, bound: { atLeast: 1 }, tolerance: 0 };
}

/** Counts answered connections, all of which must be. */
export function answeredOf(what: string, outcomes: readonly Outcome[]): Figure {
  return allOf(what, outcomes.filter(isAnswered).length, outcomes.length);
}

/** Figures that break their own bound, or are worse than those of mode nftables, as sentences. */
export function complaints(ours: readonly Figure[], netfilters: readonly Figure[]): readonly string[] {
  assert.deepEqual(ours.map(({ what }) => what), netfilters.map(({ what }) => what));
  return ours.flatMap((figure, index) => {
    const share = figure.value / figure.of;
    const netfilter = netfilters[index]!.value / netfilters[index]!.of;
    const isLessBetter = "atMost" in figure.bound;
    const margin = (reference: number) => isLessBetter ? reference - share : share - reference;
    const bound = "atMost" in figure.bound ? figure.bound.atMost : figure.bound.atLeast;
    const said = `${figure.what}: ${textOf(figure)}`;
    return [
      ...(margin(bound) < 0 ? [`${said}; the bound is ${bound * figure.of}`] : []),
      ...(margin(netfilter) < -figure.tolerance
        ? [`${said}; mode nftables: ${textOf(netfilters[index]!)}`]
        : []),
    ];
  });
}

export function textOf({ value, of }: Figure): string {
  const number = (n: number) => n.toLocaleString("en-US");
  return `${number(value)} of ${number(of)}`;
}
