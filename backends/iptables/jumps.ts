import type { TableFamily } from "../nf_tables/families.ts";
import { jumpTargetOf } from "./dumped.ts";
import { foundIdentity, ruleIdentity } from "./identity.ts";
import type { JumpRule } from "./layout.ts";
import type { FoundRule, TablesReader } from "./read.ts";

export interface JumpDifferences {
  /** In the order in which they are to be inserted. */
  readonly missing: readonly JumpRule[];
  /** The same jump twice, or in the form that another iptables gave it. */
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
    const unclaimed = (await reader.rules(table, from))
      .filter(({ expressions }) => targets.has(jumpTargetOf(expressions) ?? ""));
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

/** The chain a jump leads to. */
export function jumpedTo({ rule: { target } }: JumpRule): string {
  return target?.target === "jump" ? target.chain : "";
}

function first<Item>([item]: readonly Item[]): Item {
  if (item === undefined) throw new Error("a group is never empty");
  return item;
}
