import type { TableFamily } from "../../nf_tables/families.ts";
import { chainInWords } from "./describe_chain.ts";
import { jumpTargetOf } from "../wire/dumped.ts";
import { foundIdentity, ruleIdentity } from "../wire/identity.ts";
import type { Chain, JumpRule, NodeRules } from "../rules/layout.ts";
import { isChainOfModeIpvs } from "../rules/names.ts";
import type { FoundRule, TablesReader } from "./read.ts";
import type { Rule } from "../rules/rule.ts";

export interface JumpDifferences {
  /** In the order in which they are to be inserted. */
  readonly missing: readonly JumpRule[];
  /** The same jump twice, in the form that another iptables gave it, or to a chain of upstream's mode ipvs. */
  readonly superfluous: readonly (Pick<JumpRule, "table" | "from"> & Pick<FoundRule, "handle">)[];
}

/** How the jumps to our chains differ from those there are. A jump that is there may be anywhere in its chain. */
export async function compareJumps(
  family: TableFamily,
  reader: TablesReader,
  jumps: readonly JumpRule[],
): Promise<JumpDifferences> {
  const missing: JumpRule[] = [];
  const superfluous: (Pick<JumpRule, "table" | "from"> & Pick<FoundRule, "handle">)[] = [];
  for (const ofChain of Map.groupBy(jumps, ({ table, from }) => `${table} ${from}`).values()) {
    const { table, from } = first(ofChain);
    const targets = new Set(ofChain.map(jumpedTo));
    const unclaimed = (await reader.rules(table, from)).filter(({ expressions }) => {
      const target = jumpTargetOf(expressions) ?? "";
      return targets.has(target) || isChainOfModeIpvs(table, target);
    });
    for (const jump of ofChain) {
      const identity = ruleIdentity(family, jump.rule);
      const index = unclaimed.findIndex((found) => foundIdentity(found) === identity);
      if (index < 0) missing.push(jump);
      else unclaimed.splice(index, 1);
    }
    superfluous.push(...unclaimed.map(({ handle }) => ({ table, from, handle })));
  }
  return { missing, superfluous };
}

/** The rules that are not in a chain which others write to as well. */
export async function missingRules(
  family: TableFamily,
  reader: TablesReader,
  { table, name, rules }: Chain,
): Promise<readonly Rule[]> {
  if (rules.length === 0) return [];
  const there = new Set((await reader.rules(table, name)).map(foundIdentity));
  return rules.filter((rule) => !there.has(ruleIdentity(family, rule)));
}

/** Something of ours that is gone from the chains which others write to as well, in words; undefined for nothing. */
export async function lostAmongOthers(
  family: TableFamily,
  reader: TablesReader,
  { jumps, joint }: NodeRules,
): Promise<string | undefined> {
  const [jump] = (await compareJumps(family, reader, jumps)).missing;
  if (jump !== undefined) {
    return `the jump from ${jump.from} to ${jumpedTo(jump)} of table ${family.keyword} ${jump.table}`;
  }
  for (const chain of joint) {
    const { length } = await missingRules(family, reader, chain);
    if (length > 0) return `our rule of ${chainInWords(family, chain)}`;
  }
  return undefined;
}

/** The chain a jump leads to. */
export function jumpedTo({ rule: { target } }: JumpRule): string {
  return target?.target === "jump" ? target.chain : "";
}

function first<Item>([item]: readonly Item[]): Item {
  if (item === undefined) throw new Error("a group is never empty");
  return item;
}
