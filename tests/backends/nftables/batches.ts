import { TableBatch } from "../../../backends/nf_tables/batch.ts";
import { tableFamilyOf } from "../../../backends/nf_tables/families.ts";
import { TABLE } from "../../../backends/nftables/names.ts";
import { type Refill, writeRefill } from "../../../backends/nftables/refill.ts";
import type { TableState } from "../../../backends/nftables/table_state.ts";
import { writeUpdate } from "../../../backends/nftables/update.ts";
import type { PlanChange } from "../../../core/backend/contract.ts";
import type { NodeSettings, ServicePortPlan } from "../../../core/plan/plan.ts";
import { MessageWriter } from "../../../ffi/netlink/writer.ts";
import { settingsOf } from "../plans.ts";

/** A table that writes batches as if a kernel accepted each of them. */
export class FakeTable {
  readonly #writer = new MessageWriter();
  readonly #state: TableState;
  /** The batch that created the table. */
  readonly created: Uint8Array;

  constructor(
    plans: readonly ServicePortPlan[],
    settings: NodeSettings = settingsOf("IPv4"),
    refill: Refill = { how: "create" },
  ) {
    const batch = new TableBatch(TABLE, this.#writer, 1);
    this.#state = writeRefill(batch, tableFamilyOf(settings.family), settings, plans, refill);
    this.created = batch.end().slice();
  }

  /** Returns the batch for the changes. */
  apply(
    ...changes: readonly (readonly [old: ServicePortPlan | undefined, next: ServicePortPlan | undefined])[]
  ): Uint8Array {
    const batch = new TableBatch(TABLE, this.#writer, 1);
    const accept = writeUpdate(batch, this.#state, changes.map(changeOf));
    accept();
    return batch.end().slice();
  }
}

function changeOf(
  [old, next]: readonly [ServicePortPlan | undefined, ServicePortPlan | undefined],
): PlanChange {
  const key = (next ?? old)?.key;
  if (key === undefined) throw new Error("a change needs a plan");
  return { key, old, new: next };
}
