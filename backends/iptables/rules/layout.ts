import type { Rule } from "./rule.ts";

/** What we keep in the tables of one family; the chains are upstream's (docs/behaviour.md §5.1). */
export type TableName = "filter" | "nat" | "mangle";
export const tables: readonly TableName[] = ["filter", "nat", "mangle"];

/** A chain with all of its rules, in their order. */
export interface Chain {
  readonly table: TableName;
  readonly name: string;
  readonly rules: readonly Rule[];
}

/** A chain that rules of many service ports share. Their order among each other means nothing. */
export interface SharedChain {
  readonly table: TableName;
  readonly name: string;
}

/** A rule of a shared chain. */
export interface SharedRule {
  readonly chain: SharedChain;
  readonly rule: Rule;
}

/** What one service port needs. */
export interface ServiceRules {
  /** Its own chains, all of table nat. A chain comes after those that its rules jump to. */
  readonly chains: readonly Chain[];
  /** Its rules in shared chains. Those of one chain are in the order they must keep. */
  readonly shared: readonly SharedRule[];
}

/** A jump from one of the kernel's hooks, `-I` at the head unless it is anywhere in that chain. */
export interface JumpRule {
  readonly table: "filter" | "nat";
  /** INPUT, FORWARD, OUTPUT, PREROUTING or POSTROUTING. */
  readonly from: string;
  readonly rule: Rule;
}

/** What a node needs whatever its services are. */
export interface NodeRules {
  /** Chains with fixed contents. */
  readonly chains: readonly Chain[];
  /** Shared chains, with the rules that must stay behind those of the services, in their order. */
  readonly shared: readonly (SharedChain & { readonly last: readonly Rule[] })[];
  /** Chains that other programs write to as well: our rules must be in them, whatever else is. */
  readonly joint: readonly Chain[];
  /** In the order in which upstream ensures them, so the last is the first of its chain. */
  readonly jumps: readonly JumpRule[];
}
