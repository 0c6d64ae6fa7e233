import { type Table, tableUserdata, type TableWriter } from "./batch.ts";
import * as nft from "./constants.ts";
import type { TableFamily } from "./families.ts";
import type { Chain } from "./rules.ts";
import { matchesSpec, sameHook, type TableSchema } from "./schema.ts";
import type { SetSpec } from "./set/spec.ts";

/** Chains and named counters of a table as they will be. */
export interface TableObjects {
  readonly chains: readonly Chain[];
  readonly counters: readonly string[];
}

/** Reports whether a table can be emptied and filled in place: it and its chains have our types. */
export function canRefill(table: Table, { chains, counters }: TableObjects, actual: TableSchema): boolean {
  const chainsFit = chains.every(({ name, hook }) => {
    const schema = actual.chains.get(name);
    return schema === undefined || schema.accepts && sameHook(schema.hook, hook);
  });
  return chainsFit && actual.flags === 0 && actual.userdata === tableUserdata(table) &&
    !actual.hasOthers && actual.counters.isSubsetOf(new Set(counters));
}

/**
 * Removes rules and sets, except those to keep, which have elements that rules have added. The other sets are deleted
 * and added again, which costs the kernel half of what deleting their elements does.
 */
export function emptyTable(
  batch: TableWriter,
  family: TableFamily,
  actual: TableSchema,
  kept: ReadonlyMap<string, SetSpec>,
): void {
  batch.deleteRules(family);
  for (const [name, schema] of actual.sets) {
    // Anonymous maps are deleted with their rules.
    if ((schema.flags & nft.NFT_SET_ANONYMOUS) !== 0) continue;
    const spec = kept.get(name);
    if (spec !== undefined && matchesSpec(spec, schema)) continue;
    // Kernels before 6.4 keep chains in use for a while after the deletion of a verdict map, but not after
    // that of its elements.
    if (schema.dataType === nft.NFT_DATA_VERDICT) batch.flushSet(family, name);
    batch.deleteSet(family, name);
  }
}
