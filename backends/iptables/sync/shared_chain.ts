import type { PlanKey } from "../../../core/plan/plan.ts";
import type { TableFamily } from "../../nf_tables/families.ts";
import type { SharedChain } from "../rules/layout.ts";
import type { IptablesRule } from "../rules/rule.ts";
import { actualIdentity, ruleIdentity } from "../wire/identity.ts";
import type { RuleBatch } from "./batch.ts";
import type { ActualRule } from "./read.ts";
import { writeSharedChange } from "./shared_change.ts";

/** A shared chain, and the rules that must be its last, in this order. */
export type EndedChain = SharedChain & { readonly last: readonly IptablesRule[] };

/**
 * Makes a shared chain hold the desired rules and no others. Rules that the chain already has keep their order,
 * missing rules are added at its head, and superfluous rules are deleted.
 */
export class SharedChainRepair {
  readonly #family: TableFamily;
  readonly #chain: EndedChain;
  readonly #actual: readonly ActualRule[];
  /** Handles of actual rules that no desired rule has matched yet, by identity. */
  readonly #unmatched = new Map<string, number[]>();
  readonly #missing: { readonly rule: IptablesRule; readonly owner: PlanKey | undefined }[] = [];
  readonly #endsAsDesired: boolean;

  /** @param actual the rules that the chain has; none if it is new. */
  constructor(family: TableFamily, chain: EndedChain, actual: readonly ActualRule[]) {
    this.#family = family;
    this.#chain = chain;
    this.#actual = actual;
    const identities = actual.map(actualIdentity);
    const end = actual.length - chain.last.length;
    this.#endsAsDesired = chain.last.every((rule, index) =>
      identities[end + index] === ruleIdentity(family, rule)
    );
    for (const [index, { handle }] of actual.slice(0, this.#endsAsDesired ? end : undefined).entries()) {
      const identity = identities[index];
      if (identity === undefined) continue;
      const handles = this.#unmatched.get(identity);
      if (handles === undefined) this.#unmatched.set(identity, [handle]);
      else handles.push(handle);
    }
  }

  /** Adds a desired rule. Rules of one owner whose order matters must be added in that order. */
  require(rule: IptablesRule, owner: PlanKey): void {
    // A new chain has nothing to match, so ten thousand rules need no identity.
    const identity = this.#unmatched.size === 0 ? "" : ruleIdentity(this.#family, rule);
    const handles = this.#unmatched.get(identity);
    if (handles === undefined) this.#missing.push({ rule, owner });
    else if (handles.length === 1) this.#unmatched.delete(identity);
    else handles.shift();
  }

  /** Writes the changes, after all desired rules were added. @returns the number of rules that differed. */
  write(batch: RuleBatch): number {
    const { table, name, last } = this.#chain;
    const deleted = new Map([...this.#unmatched.values()].flat().map((handle) => [handle, undefined]));
    // A rule that the listing lacks is among the missing ones, so that none is lost when the chain is written again.
    const listing = { rules: this.#actual, isComplete: true };
    writeSharedChange(batch, this.#family, this.#chain, listing, { added: this.#missing, deleted });
    batch.setOwner(undefined);
    if (!this.#endsAsDesired) {
      for (const rule of last) batch.appendRule(this.#family, table, name, rule);
    }
    return this.#missing.length + deleted.size + (this.#endsAsDesired ? 0 : last.length);
  }
}
