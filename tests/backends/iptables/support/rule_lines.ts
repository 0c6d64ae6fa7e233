import { compile, type CompileContext } from "../../../../backends/iptables/rules/compile.ts";
import type { IptablesChain, SharedChain } from "../../../../backends/iptables/rules/layout.ts";
import type { IptablesRule } from "../../../../backends/iptables/rules/rule.ts";
import { ruleText } from "./rule_text.ts";
import type { Family } from "../../../../core/net/protocol.ts";
import type { ServicePortPlan } from "../../../../core/plan/plan.ts";
import { settingsOf } from "../../plans.ts";

/** What a plan becomes, as iptables-save prints it: the rules of shared chains by chain, then the port's own chains. */
export function linesOf(plan: ServicePortPlan, context: Partial<CompileContext> = {}): readonly string[] {
  const settings = context.settings ?? settingsOf(plan.family);
  const { shared, chains } = compile(plan, { isLarge: false, nfacct: false, ...context, settings });
  return [
    ...shared.map(({ chain, rule }) => lineOf(chain, rule, plan.family)),
    ...chains.flatMap((chain) => chainLines(chain, plan.family)),
  ];
}

/** Of a chain with its rules. */
export function chainLines(chain: IptablesChain, family: Family): readonly string[] {
  return chain.rules.map((rule) => lineOf(chain, rule, family));
}

/** With the table in front where it is not nat, as `filter: -A KUBE-SERVICES …`. */
export function lineOf(chain: SharedChain, rule: IptablesRule, family: Family): string {
  const line = `-A ${chain.name} ${ruleText(rule, family)}`;
  return chain.table === "nat" ? line : `${chain.table}: ${line}`;
}
