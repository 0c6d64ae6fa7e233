import type { PlanKey } from "../../../core/plan/plan.ts";
import type { TableFamily } from "../../nf_tables/families.ts";
import type { RuleBatch } from "./batch.ts";
import { foundIdentity, ruleIdentity } from "../wire/identity.ts";
import type { SharedChain } from "../rules/layout.ts";
import type { FoundRule } from "./read.ts";
import type { Rule } from "../rules/rule.ts";

/** A shared chain, and the rules that must be its last, in this order. */
export type EndedChain = SharedChain & { readonly last: readonly Rule[] };

/**
 * Makes a chain that many service ports share hold the wanted rules and no others, by single rules: those it holds
 * stay where they are, others are inserted at its head, and what nobody wants is deleted by its handle.
 */
export class SharedChainRepair {
  readonly #family: TableFamily;
  readonly #chain: EndedChain;
  /** By what it does: the handles of the rules that nobody asked for so far. */
  readonly #unclaimed = new Map<string, number[]>();
  readonly #missing: { readonly rule: Rule; readonly owner: PlanKey | undefined }[] = [];
  readonly #lastAreThere: boolean;

  /** @param found its rules now; none when it is new. */
  constructor(family: TableFamily, chain: EndedChain, found: readonly FoundRule[]) {
    this.#family = family;
    this.#chain = chain;
    const identities = found.map(foundIdentity);
    const end = found.length - chain.last.length;
    this.#lastAreThere = chain.last.every((rule, index) =>
      identities[end + index] === ruleIdentity(family, rule)
    );
    for (const [index, { handle }] of found.slice(0, this.#lastAreThere ? end : undefined).entries()) {
      const identity = identities[index];
      if (identity === undefined) continue;
      const handles = this.#unclaimed.get(identity);
      if (handles === undefined) this.#unclaimed.set(identity, [handle]);
      else handles.push(handle);
    }
  }

  /** Rules of one owner that depend on their order come in that order. */
  want(rule: Rule, owner: PlanKey): void {
    // In a new chain there is nothing to find, and ten thousand rules need no identity.
    const identity = this.#unclaimed.size === 0 ? "" : ruleIdentity(this.#family, rule);
    const handles = this.#unclaimed.get(identity);
    if (handles === undefined) this.#missing.push({ rule, owner });
    else if (handles.length === 1) this.#unclaimed.delete(identity);
    else handles.shift();
  }

  /** Writes what is to be changed, when all that is wanted was said. @returns rules that were wrong or missing. */
  finish(batch: RuleBatch): number {
    const { table, name, last } = this.#chain;
    for (const { rule, owner } of this.#missing.reverse()) {
      batch.setOwner(owner);
      batch.insertRule(this.#family, table, name, rule);
    }
    batch.setOwner(undefined);
    let deleted = 0;
    for (const handle of [...this.#unclaimed.values()].flat()) {
      batch.deleteRule(this.#family, table, name, handle);
      deleted++;
    }
    if (!this.#lastAreThere) {
      for (const rule of last) batch.appendRule(this.#family, table, name, rule);
    }
    return this.#missing.length + deleted + (this.#lastAreThere ? 0 : last.length);
  }
}
