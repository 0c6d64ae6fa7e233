import * as nft from "../../../backends/nf_tables/constants.ts";
import { TableBatch } from "../../../backends/nf_tables/batch.ts";
import { tableFamilyOf } from "../../../backends/nf_tables/families.ts";
import { TABLE } from "../../../backends/nftables/names.ts";
import { type Refill, writeRefill } from "../../../backends/nftables/refill.ts";
import type { TableState } from "../../../backends/nftables/table_state.ts";
import { writeUpdate } from "../../../backends/nftables/update.ts";
import type { PlanChange } from "../../../core/backend/contract.ts";
import type { NodeSettings, ServicePortPlan } from "../../../core/plan/plan.ts";
import { NFGENMSG_BYTES, NFNL_SUBSYS_NFTABLES } from "../../../ffi/netlink/nfnetlink.ts";
import { attribute, messages } from "../../../ffi/netlink/reader.ts";
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

const steps: ReadonlyMap<number, readonly [text: string, name: number]> = new Map([
  [nft.NFT_MSG_NEWCHAIN, ["add chain", nft.NFTA_CHAIN_NAME]],
  [nft.NFT_MSG_DELCHAIN, ["delete chain", nft.NFTA_CHAIN_NAME]],
  [nft.NFT_MSG_NEWRULE, ["add rule to", nft.NFTA_RULE_CHAIN]],
  [nft.NFT_MSG_DELRULE, ["delete rules of", nft.NFTA_RULE_CHAIN]],
  [nft.NFT_MSG_NEWSET, ["add set", nft.NFTA_SET_NAME]],
  [nft.NFT_MSG_DELSET, ["delete set", nft.NFTA_SET_NAME]],
  [nft.NFT_MSG_NEWSETELEM, ["add elements of", nft.NFTA_SET_ELEM_LIST_SET]],
  [nft.NFT_MSG_DELSETELEM, ["delete elements of", nft.NFTA_SET_ELEM_LIST_SET]],
]);

/** Describes the messages of a batch in their order. */
export function stepsOf(batch: Uint8Array): string[] {
  const texts: string[] = [];
  for (const { type, payload } of messages(batch)) {
    if (type >> 8 !== NFNL_SUBSYS_NFTABLES) continue;
    const [text, name] = steps.get(type & 0xff) ?? ["unknown message", 0];
    texts.push(`${text} ${attribute(payload, name, NFGENMSG_BYTES)?.string()}`);
  }
  return texts;
}

/** Number of messages and of set elements in a batch: the work of the kernel. */
export function sizeOf(batch: Uint8Array): number {
  let size = 0;
  for (const { type, payload } of messages(batch)) {
    if (type >> 8 !== NFNL_SUBSYS_NFTABLES) continue;
    size++;
    const isElements = [nft.NFT_MSG_NEWSETELEM, nft.NFT_MSG_DELSETELEM].includes(type & 0xff);
    if (!isElements) continue;
    const list = attribute(payload, nft.NFTA_SET_ELEM_LIST_ELEMENTS, NFGENMSG_BYTES);
    size += [...list?.attributes() ?? []].length;
  }
  return size;
}
