import type { TableFamily } from "../../nf_tables/families.ts";
import { BUILT_IN_CHAINS, type TableName, TABLES } from "../rules/layout.ts";
import { isInnerChain, isOurChain, KUBE_FIREWALL, KUBE_MARK_DROP } from "../rules/names.ts";
import { BLOCK_LOCALNET } from "../rules/node_rules.ts";
import { jumpTargetOf } from "../wire/decode.ts";
import { actualIdentity, ruleIdentity } from "../wire/identity.ts";
import type { RuleBatch } from "./batch.ts";
import type { ActualChains, TablesReader } from "./read.ts";

/** Reports whether a chain cannot be deleted because a foreign rule jumps to it. */
export type IsUndeletable = (family: TableFamily, table: TableName, chain: string) => boolean;

/** A chain of kubelet, which writes to KUBE-FIREWALL as well. */
const KUBE_KUBELET_CANARY = "KUBE-KUBELET-CANARY";

/** Reports whether cleanup removes a chain. */
export type IsRemoved = (table: TableName, chain: string) => boolean;

/** Finds out which chains of a family cleanup removes. */
export async function removedChains(
  family: TableFamily,
  reader: TablesReader,
  actual: ActualChains,
): Promise<IsRemoved> {
  const hasKubelet = TABLES.some((table) => actual[table].has(KUBE_KUBELET_CANARY));
  const removesFirewall = !hasKubelet && await isFirewallOurs(family, reader, actual);
  return (table, chain) =>
    isOurChain(table, chain) ||
    table === "filter" && chain === KUBE_FIREWALL && removesFirewall ||
    table === "nat" && chain === KUBE_MARK_DROP && !hasKubelet;
}

/**
 * Writes the removal of all our and kube-proxy's rules and chains of one family. Foreign rules and chains
 * stay.
 */
export async function writeRemoval(
  batch: RuleBatch,
  family: TableFamily,
  reader: TablesReader,
  actual: ActualChains,
  isUndeletable: IsUndeletable,
): Promise<void> {
  const isRemoved = await removedChains(family, reader, actual);
  for (const table of TABLES) {
    const chains = [...actual[table]].filter((chain) => isRemoved(table, chain));
    if (chains.length === 0) continue;
    for (const from of BUILT_IN_CHAINS) {
      if (!actual[table].has(from)) continue;
      for (const { handle, expressions } of await reader.rules(table, from)) {
        const target = jumpTargetOf(expressions);
        if (target === undefined || !isRemoved(table, target) || isInnerChain(target)) continue;
        batch.deleteRule(family, table, from, handle);
      }
    }
    deleteChains(batch, family, table, chains, isUndeletable);
  }
}

/** Writes the deletion of chains. All are flushed first, because they may jump to each other. */
export function deleteChains(
  batch: RuleBatch,
  family: TableFamily,
  table: TableName,
  chains: readonly string[],
  isUndeletable: IsUndeletable,
): void {
  for (const chain of chains) batch.flushChain(family, table, chain);
  for (const chain of chains) {
    if (!isUndeletable(family, table, chain)) batch.deleteChain(family, table, chain);
  }
}

/** Reports whether KUBE-FIREWALL has only our rule. */
async function isFirewallOurs(
  family: TableFamily,
  reader: TablesReader,
  actual: ActualChains,
): Promise<boolean> {
  if (!actual.filter.has(KUBE_FIREWALL)) return false;
  const ours = ruleIdentity(family, BLOCK_LOCALNET);
  return (await reader.rules("filter", KUBE_FIREWALL)).every((rule) => actualIdentity(rule) === ours);
}
