import assert from "node:assert/strict";
import { ruleText } from "../../backends/iptables/support/rule_text.ts";
import { FAMILIES } from "../../../core/net/protocol.ts";
import { everyRule, tableOf } from "../../backends/iptables/support/every_rule.ts";
import { NetworkNamespace } from "../support/network_namespace.ts";
import { parseListing } from "./support/listing.ts";
import { RULES_CHAIN, tables } from "./support/rules_driver.ts";
import { type RulesOfTables, RulesProcess } from "./support/rules_process.ts";

for (const family of FAMILIES) {
  Deno.test(`stock iptables lists every ${family} rule that we write, and restores it unchanged`, async () => {
    await using ourNamespace = await NetworkNamespace.make();
    const ours = new RulesProcess(ourNamespace, family);
    await ours.send();
    const saved = await ours.save();
    // Throws on a line that is not part of a listing, such as a warning.
    const listing = parseListing(saved);
    for (const table of tables) {
      const texts = everyRule(family).filter((rule) => tableOf(rule) === table).map((rule) =>
        ruleText(rule, family)
      );
      assert.deepEqual(listing.get(`${table} ${RULES_CHAIN}`)?.rules, texts, `table ${table}`);
    }

    await using restoredNamespace = await NetworkNamespace.make();
    const restored = new RulesProcess(restoredNamespace, family);
    await restored.restore(saved);
    assert.deepEqual(parseListing(await restored.save()), listing);
    assert.deepEqual(withRestoredMasks(await ours.read()), withRestoredMasks(await restored.read()));
  });
}

/**
 * Clears 12 bytes of the masks of IPv4 `recent` matches. With `--mask`, as iptables-save prints it,
 * iptables-restore sets only the first 4 of the 16 bytes. Without it, as kube-proxy and we write it, all are
 * set. The kernel uses 4.
 */
function withRestoredMasks(rules: RulesOfTables): RulesOfTables {
  const mask = "f".repeat(32);
  const recent = "726563656e74"; // "recent"
  return Object.fromEntries(
    Object.entries(rules).map(([table, ofTable]) => [
      table,
      ofTable.map((rule) =>
        rule.includes(recent) ? rule.replace(mask, "f".repeat(8) + "0".repeat(24)) : rule
      ),
    ]),
  );
}
