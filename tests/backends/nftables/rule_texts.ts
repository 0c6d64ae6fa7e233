import { createdBy } from "./canonical.ts";
import goldens from "./goldens.json" with { type: "json" };

/**
 * Bytes of a rule → the text that nft makes them from. A rule's own map is a set beside it, which its bytes do not
 * hold: its elements are left out of the text.
 */
export function ruleTexts(family: "ip" | "ip6"): ReadonlyMap<string, string> {
  const start = `${family} rule: `;
  return new Map(
    Object.entries(goldens).filter(([name]) => name.startsWith(start))
      .map(([name, bytes]) => [bytes, name.slice(start.length).replace(/vmap \{.*\}/, "vmap { … }")]),
  );
}

/** The rules that a batch creates as nft would list them: chain → texts. */
export function rulesIn(batch: Uint8Array): Record<string, string[]> {
  const rules: Record<string, string[]> = {};
  for (const { kind, family, name, bytes } of createdBy(batch)) {
    if (kind === "rule") (rules[name] ??= []).push(ruleTexts(family).get(bytes) ?? `unknown rule ${bytes}`);
  }
  return rules;
}
