/**
 * Writes goldens.json: the NFTA_RULE_EXPRESSIONS (in hexadecimal) that the kernel lists for rules that stock
 * iptables-nft 1.8.9 added, by the text of the rule. Needs root:
 *
 *     deno run -A tests/backends/iptables/capture_goldens.ts
 */
import { ruleText } from "./support/rule_text.ts";
import { FAMILIES } from "../../../core/net/protocol.ts";
import { RULES_CHAIN, tables } from "../../integration/iptables/support/rules_driver.ts";
import { RulesProcess } from "../../integration/iptables/support/rules_process.ts";
import { NetworkNamespace } from "../../integration/support/network_namespace.ts";
import { everyRule, SERVICE_CHAIN, tableOf } from "./support/every_rule.ts";

if (import.meta.main) await capture();

async function capture(): Promise<void> {
  const goldens: Record<string, Record<string, string | undefined>> = {};
  for (const family of FAMILIES) {
    await using namespace = await NetworkNamespace.make();
    const stock = new RulesProcess(namespace, family);
    const rules = everyRule(family);
    const textsOf = (table: string) =>
      rules.filter((rule) => tableOf(rule) === table).map((rule) => ruleText(rule, family));
    await stock.restore(
      tables.flatMap((table) => [
        `*${table}`,
        ...[RULES_CHAIN, SERVICE_CHAIN, "C"].map((chain) => `:${chain} - [0:0]`),
        ...textsOf(table).map((text) => `-A ${RULES_CHAIN} ${asUpstreamWrites(text)}`),
        "COMMIT\n",
      ]).join("\n"),
    );
    const listed = await stock.read();
    goldens[family] = Object.fromEntries(
      tables.flatMap((table) => textsOf(table).map((text, index) => [text, listed[table]?.[index]])),
    );
  }
  await Deno.writeTextFile(
    new URL("./goldens.json", import.meta.url),
    `${JSON.stringify(goldens, null, 2)}\n`,
  );
}

/**
 * Removes the mask of `recent`. Without it all 16 bytes are set, with an IPv4 mask iptables sets only the
 * first 4.
 */
function asUpstreamWrites(text: string): string {
  return text.replace(/ --mask \S+ --rsource/, "");
}
