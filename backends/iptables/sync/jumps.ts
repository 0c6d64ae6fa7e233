import type { TableFamily } from "../../nf_tables/families.ts";
import { describeChain, type IptablesChain, type JumpRule, type NodeRules } from "../rules/layout.ts";
import { isChainOfOtherModes } from "../rules/names.ts";
import type { IptablesRule } from "../rules/rule.ts";
import { jumpTargetOf } from "../wire/decode.ts";
import { actualIdentity, ruleIdentity } from "../wire/identity.ts";
import type { ActualRule, TablesReader } from "./read.ts";

export interface JumpDifference {
  /** Jumps to insert, in this order. */
  readonly missing: readonly JumpRule[];
  /**
   * Duplicates, jumps in a form that another iptables wrote, and jumps to chains of kube-proxy's other modes.
   */
  readonly superfluous: readonly ActualJump[];
}

type ActualJump = Pick<JumpRule, "table" | "from"> & Pick<ActualRule, "handle">;

/** Compares the desired jumps with the actual ones. An actual jump may be at any place in its chain. */
export async function compareJumps(
  family: TableFamily,
  reader: TablesReader,
  jumps: readonly JumpRule[],
): Promise<JumpDifference> {
  const missing: JumpRule[] = [];
  const superfluous: ActualJump[] = [];
  for (const ofChain of Map.groupBy(jumps, ({ table, from }) => `${table} ${from}`).values()) {
    const { table, from } = first(ofChain);
    const targets = new Set(ofChain.map(jumpTarget));
    const unmatched = (await reader.rules(table, from)).filter(({ expressions }) => {
      const target = jumpTargetOf(expressions) ?? "";
      return targets.has(target) || isChainOfOtherModes(table, target);
    });
    for (const jump of ofChain) {
      const identity = ruleIdentity(family, jump.rule);
      const index = unmatched.findIndex((actual) => actualIdentity(actual) === identity);
      if (index < 0) missing.push(jump);
      else unmatched.splice(index, 1);
    }
    superfluous.push(...unmatched.map(({ handle }) => ({ table, from, handle })));
  }
  return { missing, superfluous };
}

/** The rules of a joint chain that the kernel does not have. */
export async function missingRules(
  family: TableFamily,
  reader: TablesReader,
  { table, name, rules }: IptablesChain,
): Promise<readonly IptablesRule[]> {
  if (rules.length === 0) return [];
  const actual = new Set((await reader.rules(table, name)).map(actualIdentity));
  return rules.filter((rule) => !actual.has(ruleIdentity(family, rule)));
}

/** Describes one of our rules that is missing from the built-in or joint chains; undefined if none is. */
export async function describeMissingRule(
  family: TableFamily,
  reader: TablesReader,
  { jumps, joint }: NodeRules,
): Promise<string | undefined> {
  const [jump] = (await compareJumps(family, reader, jumps)).missing;
  if (jump !== undefined) return describeJump(family, jump);
  for (const chain of joint) {
    const { length } = await missingRules(family, reader, chain);
    if (length > 0) return `our rule of ${describeChain(family, chain)}`;
  }
  return undefined;
}

/** Describes a jump for the log: `the jump from INPUT to KUBE-NODEPORTS of table ip filter`. */
export function describeJump({ keyword }: TableFamily, jump: JumpRule): string {
  return `the jump from ${jump.from} to ${jumpTarget(jump)} of table ${keyword} ${jump.table}`;
}

/** The chain that a jump leads to. */
function jumpTarget({ rule: { target } }: JumpRule): string {
  return target?.target === "jump" ? target.chain : "";
}

function first<Item>([item]: readonly Item[]): Item {
  if (item === undefined) throw new Error("a group is never empty");
  return item;
}
