import type { NodeSettings, ServicePortPlan } from "../../core/plan/plan.ts";
import type { TableFamily } from "../nf_tables/families.ts";
import type { Chain, Rule } from "../nf_tables/rules.ts";
import type { SetSpec } from "../nf_tables/set/spec.ts";
import { affinityObjects } from "./affinity.ts";
import { sharedListChains } from "./shared_lists.ts";

/** Chains and sets of one service port alone. Most service ports have none: they use the chains of classes. */
export interface OwnObjects {
  readonly sets: readonly SetSpec[];
  /** Each comes before the chains that go to it. */
  readonly chains: readonly OwnChain[];
}

export interface OwnChain extends Chain {
  /** With the same settings, chains with the same name and equal contents have equal rules. */
  readonly contents: string;
}

/** @param makeRules called only if the chain is written. */
export function ownChain(name: string, contents: string, makeRules: () => readonly Rule[]): OwnChain {
  return {
    name,
    contents,
    get rules() {
      return makeRules();
    },
  };
}

export function ownObjects(family: TableFamily, settings: NodeSettings, plan: ServicePortPlan): OwnObjects {
  const { sets, chains } = affinityObjects(family, settings, plan);
  const shared = sharedListChains(family, settings, plan);
  return { sets, chains: shared.length === 0 ? chains : [...chains, ...shared] };
}
