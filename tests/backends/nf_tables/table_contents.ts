import * as nft from "../../../backends/nf_tables/constants.ts";
import type { VirtualExpression, VirtualSet, VirtualTable } from "./virtual_table.ts";

/** Contents of a table in a form that is equal for equal tables, whatever the order in which they were written. */
export function contentsOf({ chains, sets }: VirtualTable): Readonly<Record<string, readonly string[]>> {
  const entries: (readonly [string, readonly string[]])[] = [];
  for (const [name, { hook, rules }] of chains) {
    const texts = rules.map((expressions) => JSON.stringify(expressions.map(expressionText)));
    entries.push([`chain ${name} ${JSON.stringify(hook)}`, texts]);
  }
  for (const [name, set] of sets) {
    const { keyLength, ranges, timeout } = set;
    entries.push([`set ${name} ${JSON.stringify([keyLength, ranges, `${timeout}`])}`, elementTexts(set)]);
  }
  return Object.fromEntries(entries.sort(([a], [b]) => a < b ? -1 : 1));
}

function expressionText({ name, fields, choice }: VirtualExpression): unknown {
  // The number of an anonymous map is one of its batch.
  const lasting = [...fields].filter(([type]) => choice === undefined || type !== nft.NFTA_LOOKUP_SET_ID);
  const values = lasting.map(([type, field]) => [type, field.latin1()]);
  return [name, values, choice === undefined ? [] : elementTexts(choice)];
}

function elementTexts({ elements }: VirtualSet): string[] {
  return [...elements].map((element) => JSON.stringify(element)).sort();
}
