import { createdBy } from "../nf_tables/canonical.ts";
import goldens from "./goldens.json" with { type: "json" };

/**
 * Maps the bytes of a rule to its text in nft. The text leaves out the elements of an anonymous map, because
 * they are not in the bytes of the rule.
 */
export function ruleTexts(family: "ip" | "ip6"): ReadonlyMap<string, string> {
  const start = `${family} rule: `;
  return new Map(
    Object.entries(goldens).filter(([name]) => name.startsWith(start))
      .map(([name, bytes]) => [bytes, name.slice(start.length).replace(/vmap \{.*\}/, "vmap { … }")]),
  );
}

/** The rules that a batch creates, by chain, as nft lists them. */
export function rulesIn(batch: Uint8Array): Record<string, string[]> {
  const rules: Record<string, string[]> = {};
  for (const { kind, family, name, bytes } of createdBy(batch)) {
    if (kind === "rule") (rules[name] ??= []).push(ruleTexts(family).get(bytes) ?? `unknown rule ${bytes}`);
  }
  return rules;
}
