import type { MessageWriter } from "../../ffi/netlink/writer.ts";
import { TableBatch } from "../nf_tables/table_batch.ts";
import { table } from "./names.ts";

/** A batch of changes to our tables. */
export class KubeProxyBatch extends TableBatch {
  constructor(message: MessageWriter, firstSeq: number) {
    super(table, message, firstSeq);
  }
}
