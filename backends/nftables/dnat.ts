import * as expr from "../nf_tables/expressions.ts";
import type { Expression, Field } from "../nf_tables/expressions.ts";
import type { TableFamily } from "../nf_tables/families.ts";

/** `dnat to <frontend> . numgen random mod N map @list`: to one of the N endpoints listed for the frontend. */
export function dnatToOneOf(
  family: TableFamily,
  frontend: readonly Field[],
  count: number,
  list: string,
): Expression[] {
  return [...expr.concat(...frontend, expr.random(count)), expr.valueOf(list), expr.dnatToValue(family)];
}

/** `dnat to 10.1.0.1:8080`, both as binary strings. */
export function dnatTo(family: TableFamily, address: string, port: string): Expression[] {
  return [expr.immediate(0, address), expr.immediate(4, port), expr.dnatToConstant(family)];
}
