import fc from "fast-check";
import assert from "node:assert/strict";
import { IPVS_TABLE } from "../../../../backends/ipvs/tables/chains.ts";
import { setsOf } from "../../../../backends/ipvs/tables/sets.ts";
import {
  compileChanges,
  type FamilyState,
  type FamilyUpdate,
  updatesOf,
} from "../../../../backends/ipvs/update.ts";
import { TableBatch } from "../../../../backends/nf_tables/batch.ts";
import { tableFamilyOf } from "../../../../backends/nf_tables/families.ts";
import { writeElements, writeTable } from "../../../../backends/nf_tables/fixed/table.ts";
import { splitRemoved } from "../../../../backends/nf_tables/fixed/tables.ts";
import { UseCounts } from "../../../../backends/use_counts.ts";
import type { PlanChange } from "../../../../core/backend/contract.ts";
import { MessageWriter } from "../../../../ffi/netlink/writer.ts";
import { changesBetween } from "../../../integration/support/random_plans.ts";
import { address } from "../../../core/plan/builders.ts";
import { inForce, objectsOf } from "../../../core/plan/in_force.ts";
import { pools } from "../../../oracle/raw_cluster.ts";
import { anyRawChange } from "../../../oracle/raw_change.ts";
import { contentsOf } from "../../nf_tables/table_contents.ts";
import { VirtualTable } from "../../nf_tables/virtual_table.ts";
import { defaultOptions } from "../options.ts";

/** PROPERTY_RUNS and PROPERTY_SEED work as in tests/backends/nftables/evaluate_test.ts. */
const runs = Number(Deno.env.get("PROPERTY_RUNS") ?? 300);
const seed = Number(Deno.env.get("PROPERTY_SEED") ?? Date.now() & 0x7fffffff);

Deno.test(`a changed table is the same as a table that is written afresh (PROPERTY_SEED=${seed})`, () => {
  fc.assert(
    fc.property(anyRawChange, ({ before, after }) => {
      const first = inForce({ ...before, objects: objectsOf(before) });
      const then = inForce({ ...after, objects: objectsOf(after) });
      for (const one of then.settings) {
        const family = tableFamilyOf(one.family);
        // No external IP is this address: a node port that meets one is rejected (rejection_test.ts).
        const settings = { ...one, nodePorts: [address(pools[one.family].nodeIPs[2] ?? "")] };
        const state = { family, settings, uses: new UseCounts() };
        const changed = filled(updateOf(state, changesBetween(new Map(), first.plans)));
        change(changed, updateOf(state, changesBetween(first.plans, then.plans)));
        const unused = { ...state, uses: new UseCounts() };
        const fresh = filled(updateOf(unused, changesBetween(new Map(), then.plans)));
        assert.deepEqual(contentsOf(changed), contentsOf(fresh));
      }
    }),
    { numRuns: runs, seed },
  );
});

/** The update of one family, counted as if it were in force. */
function updateOf(
  state: FamilyState,
  changes: readonly PlanChange[],
): FamilyUpdate {
  const [update] = updatesOf([state], compileChanges(changes, [state], defaultOptions));
  assert.ok(update);
  update.accept();
  return update;
}

function filled({ family, settings, elements }: FamilyUpdate): VirtualTable {
  const contents = { family, settings, elements: elements.added };
  return new VirtualTable(batchOf((batch) => writeTable(IPVS_TABLE, batch, contents)));
}

/** Changes a table in the two steps of FixedTables. */
function change(table: VirtualTable, { family, elements }: FamilyUpdate): void {
  const specs = setsOf(family);
  const { replaced, gone } = splitRemoved(elements);
  table.apply(batchOf((batch) => {
    writeElements(batch, family, "delete", specs, replaced);
    writeElements(batch, family, "add", specs, elements.added);
  }));
  table.apply(batchOf((batch) => writeElements(batch, family, "delete", specs, gone)));
}

function batchOf(write: (batch: TableBatch) => void): Uint8Array {
  const batch = new TableBatch(IPVS_TABLE.table, new MessageWriter(), 1);
  write(batch);
  return batch.end().slice();
}
