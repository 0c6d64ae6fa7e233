import { compile, type CompileContext } from "../../../../backends/iptables/rules/compile.ts";
import type { IptablesChain, SharedChain } from "../../../../backends/iptables/rules/layout.ts";
import type { IptablesRule } from "../../../../backends/iptables/rules/rule.ts";
import { ruleText } from "./rule_text.ts";
import type { Family } from "../../../../core/net/protocol.ts";
import type { ServicePortPlan } from "../../../../core/plan/plan.ts";
import { settingsOf } from "../../plans.ts";

/**
 * The rules of a plan as iptables-save prints them: first those of shared chains, then the chains of the
 * port.
 */
export function linesOf(plan: ServicePortPlan, context: Partial<CompileContext> = {}): readonly string[] {
  const settings = context.settings ?? settingsOf(plan.family);
  const { shared, chains } = compile(plan, { isLarge: false, nfacct: false, ...context, settings });
  return [
    ...shared.map(({ chain, rule }) => lineOf(chain, rule, plan.family)),
    ...chains.flatMap((chain) => chainLines(chain, plan.family)),
  ];
}

/** The rules of a chain as iptables-save prints them. */
export function chainLines(chain: IptablesChain, family: Family): readonly string[] {
  return chain.rules.map((rule) => lineOf(chain, rule, family));
}

/**
 * A rule as iptables-save prints it, with the table in front unless it is nat: `filter: -A KUBE-SERVICES …`.
 */
export function lineOf(chain: SharedChain, rule: IptablesRule, family: Family): string {
  const line = `-A ${chain.name} ${ruleText(rule, family)}`;
  return chain.table === "nat" ? line : `${chain.table}: ${line}`;
}
