import { MessageWriter } from "../../../ffi/netlink/writer.ts";
import type { TableFamily } from "../../nf_tables/families.ts";
import { comparable, sameExpressions } from "./dumped.ts";
import { writeExpressions } from "./encode.ts";
import type { FoundRule } from "../sync/read.ts";
import type { Rule } from "../rules/rule.ts";

const scratch = new MessageWriter(4096);

/** What a rule does, as a key that is the same for the rule of a plan and for that rule read back from the kernel. */
export function ruleIdentity(family: TableFamily, rule: Rule): string {
  return comparable(written(family, rule));
}

export function foundIdentity({ expressions }: FoundRule): string {
  return comparable(expressions);
}

/** Whether a chain holds exactly these rules, in this order. */
export function holds(family: TableFamily, found: readonly FoundRule[], rules: readonly Rule[]): boolean {
  return found.length === rules.length && rules.every((rule, index) => {
    const there = found[index];
    return there !== undefined && sameExpressions(there.expressions, written(family, rule));
  });
}

/** Until the next call. */
function written(family: TableFamily, rule: Rule): Uint8Array {
  scratch.reset();
  writeExpressions(scratch, family, rule);
  return scratch.bytes();
}
