import type { TableFamily } from "../../nf_tables/families.ts";
import type { RuleBatch } from "./batch.ts";
import { jumpTargetOf } from "../wire/dumped.ts";
import { foundIdentity, ruleIdentity } from "../wire/identity.ts";
import { type TableName, tables } from "../rules/layout.ts";
import { isOurChain, KUBE_FIREWALL } from "../rules/names.ts";
import { blockLocalnet } from "../rules/node_rules.ts";
import type { FoundChains, TablesReader } from "./read.ts";

/** Chains that cannot be deleted, because other people's rules jump to them. */
export type Undeletable = (family: TableFamily, table: TableName, chain: string) => boolean;

/** Where our chains are jumped to from. */
const baseChains = ["INPUT", "FORWARD", "OUTPUT", "PREROUTING", "POSTROUTING"];

/** By kubelet, where it writes to KUBE-FIREWALL as well. */
const KUBE_KUBELET_CANARY = "KUBE-KUBELET-CANARY";

/** Writes what removes all of ours and upstream's from a family's tables. Other people's rules and chains stay. */
export async function writeRemoval(
  batch: RuleBatch,
  family: TableFamily,
  reader: TablesReader,
  found: FoundChains,
  isUndeletable: Undeletable,
): Promise<void> {
  const removesFirewall = await isFirewallOurs(family, reader, found);
  for (const table of tables) {
    const isRemoved = (chain: string) =>
      isOurChain(table, chain) || (removesFirewall && table === "filter" && chain === KUBE_FIREWALL);
    const chains = [...found[table]].filter(isRemoved);
    if (chains.length === 0) continue;
    for (const from of baseChains) {
      if (!found[table].has(from)) continue;
      for (const { handle, expressions } of await reader.rules(table, from)) {
        const target = jumpTargetOf(expressions);
        if (target !== undefined && isRemoved(target)) batch.deleteRule(family, table, from, handle);
      }
    }
    deleteChains(batch, family, table, chains, isUndeletable);
  }
}

/** They may jump to each other, so all are emptied first. */
export function deleteChains(
  batch: RuleBatch,
  family: TableFamily,
  table: TableName,
  chains: readonly string[],
  isUndeletable: Undeletable,
): void {
  for (const chain of chains) batch.flushChain(family, table, chain);
  for (const chain of chains) {
    if (!isUndeletable(family, table, chain)) batch.deleteChain(family, table, chain);
  }
}

/** Kubelet writes to this chain, too: it goes only where there is no sign of kubelet, and no rule but ours. */
async function isFirewallOurs(
  family: TableFamily,
  reader: TablesReader,
  found: FoundChains,
): Promise<boolean> {
  if (!found.filter.has(KUBE_FIREWALL) || tables.some((table) => found[table].has(KUBE_KUBELET_CANARY))) {
    return false;
  }
  const ours = ruleIdentity(family, blockLocalnet);
  return (await reader.rules("filter", KUBE_FIREWALL)).every((rule) => foundIdentity(rule) === ours);
}
