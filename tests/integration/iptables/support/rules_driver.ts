import { NfTables } from "../../../../backends/nf_tables/connection.ts";
import { tableFamilyOf } from "../../../../backends/nf_tables/families.ts";
import { RuleBatch } from "../../../../backends/iptables/sync/batch.ts";
import { LOCALHOST_NODE_PORTS_ACCEPTED } from "../../../../backends/iptables/rules/names.ts";
import { PacketCounters } from "../../../../backends/iptables/nfacct.ts";
import { TablesReader } from "../../../../backends/iptables/sync/read.ts";
import type { Family } from "../../../../core/net/protocol.ts";
import { rejectionError } from "../../../../ffi/netlink/exchange.ts";
import { everyRule, SERVICE_CHAIN, tableOf } from "../../../backends/iptables/support/every_rule.ts";

/**
 * Commands to run in a network namespace:
 *     rules_driver.ts count           makes the packet counter that a rule names
 *     rules_driver.ts send IPv4       programs the rules of everyRule as the backend does
 *     rules_driver.ts read IPv4       prints their NFTA_RULE_EXPRESSIONS: { "nat": ["2400…", …], "filter": … }
 */
export const RULES_CHAIN = "RULES";
export const tables = ["filter", "nat"] as const;

if (import.meta.main) await drive(Deno.args[0], Deno.args[1] === "IPv6" ? "IPv6" : "IPv4");

async function drive(command: string | undefined, family: Family): Promise<void> {
  using kernel = new NfTables();
  if (command === "count") await new PacketCounters(kernel.client).ensure(LOCALHOST_NODE_PORTS_ACCEPTED);
  if (command === "send") await send(kernel, family);
  if (command === "read") console.log(JSON.stringify(await read(kernel, family)));
}

async function send(kernel: NfTables, family: Family): Promise<void> {
  const tableFamily = tableFamilyOf(family);
  const batch = kernel.begin(RuleBatch);
  for (const table of tables) {
    batch.addTable(tableFamily, table);
    for (const chain of [RULES_CHAIN, SERVICE_CHAIN, "C"]) batch.addChain(tableFamily, table, chain);
  }
  for (const rule of everyRule(family)) batch.appendRule(tableFamily, tableOf(rule), RULES_CHAIN, rule);
  await kernel.commit(batch, (_, answer) => rejectionError(`add the ${answer.seq}th message`, answer));
}

async function read(kernel: NfTables, family: Family): Promise<Record<string, string[]>> {
  const reader = new TablesReader(kernel.client, tableFamilyOf(family));
  const rules: Record<string, string[]> = {};
  for (const table of tables) {
    rules[table] = (await reader.rules(table, RULES_CHAIN)).map(({ expressions }) => expressions.toHex());
  }
  return rules;
}
