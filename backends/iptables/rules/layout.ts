import * as nft from "../../nf_tables/constants.ts";
import type { RefusalReason } from "../../../core/backend/traffic.ts";
import type { FrontendKind } from "../../../core/plan/plan.ts";
import type { TableFamily } from "../../nf_tables/families.ts";
import type { IptablesRule } from "./rule.ts";

/** A table with chains of ours. The chains are kube-proxy's: docs/behaviour.md §5.1. */
export type TableName = "filter" | "nat" | "mangle";
export const TABLES: readonly TableName[] = ["filter", "nat", "mangle"];

/** A chain with all its rules, in order. */
export interface IptablesChain {
  readonly table: TableName;
  readonly name: string;
  readonly rules: readonly IptablesRule[];
}

/** A chain with rules of many service ports. The order between service ports does not matter. */
export interface SharedChain {
  readonly table: TableName;
  readonly name: string;
}

/** A rule in a shared chain. */
export interface SharedRule {
  readonly chain: SharedChain;
  readonly rule: IptablesRule;
  /** Traffic that the counter of the rule counts; undefined for none of a service. */
  readonly counts?: RuleTraffic | undefined;
}

/** New connections to the frontends of one kind: dispatched to the chains of the service port, or refused. */
export interface RuleTraffic {
  readonly frontend: FrontendKind;
  readonly as: "dispatched" | RefusalReason;
}

/** The rules of one service port. */
export interface ServiceRules {
  /** Chains of this service port only, all in table nat. A chain comes after the chains that it jumps to. */
  readonly chains: readonly IptablesChain[];
  /** Rules in shared chains. Within one chain they keep this order. */
  readonly shared: readonly SharedRule[];
}

/**
 * A jump from a built-in chain to one of ours, inserted at the head (`-I`) if the built-in chain does not
 * have it.
 */
export interface JumpRule {
  readonly table: "filter" | "nat";
  /** INPUT, FORWARD, OUTPUT, PREROUTING or POSTROUTING. */
  readonly from: string;
  readonly rule: IptablesRule;
}

/** The rules that a node needs independently of its services. */
export interface NodeRules {
  /** Chains with fixed contents. */
  readonly chains: readonly IptablesChain[];
  /** Shared chains. The rules in `last` stay behind those of the services, in this order. */
  readonly shared: readonly (SharedChain & { readonly last: readonly IptablesRule[] })[];
  /** Chains that other programs write to as well. Our rules must be in them; foreign rules stay. */
  readonly joint: readonly IptablesChain[];
  /** Jumps in the order in which kube-proxy ensures them, so that the last one ends up first in its chain. */
  readonly jumps: readonly JumpRule[];
}

/** A chain that packets enter from a netfilter hook, with the attributes that iptables-nft gives it. */
export interface BuiltInChain {
  readonly table: TableName;
  readonly name: string;
  readonly type: "filter" | "nat";
  readonly hook: number;
  readonly priority: number;
}

const HOOKS: Readonly<Record<string, number>> = {
  PREROUTING: nft.NF_INET_PRE_ROUTING,
  INPUT: nft.NF_INET_LOCAL_IN,
  FORWARD: nft.NF_INET_FORWARD,
  OUTPUT: nft.NF_INET_LOCAL_OUT,
  POSTROUTING: nft.NF_INET_POST_ROUTING,
};

/** Names of the built-in chains. */
export const BUILT_IN_CHAINS: readonly string[] = Object.keys(HOOKS);

/** The built-in chain `name` of a table that our jumps are in. */
export function builtInChain(table: "filter" | "nat", name: string): BuiltInChain {
  const hook = HOOKS[name];
  if (hook === undefined) throw new Error(`iptables has no built-in chain ${name}`);
  if (table === "filter") return { table, name, type: "filter", hook, priority: nft.NF_IP_PRI_FILTER };
  const isSource = name === "POSTROUTING" || name === "INPUT";
  return {
    table,
    name,
    type: "nat",
    hook,
    priority: isSource ? nft.NF_IP_PRI_NAT_SRC : nft.NF_IP_PRI_NAT_DST,
  };
}

/** Describes a chain for the log: `chain KUBE-SERVICES of table ip nat`. */
export function describeChain({ keyword }: TableFamily, { table, name }: SharedChain): string {
  return `chain ${name} of table ${keyword} ${table}`;
}
