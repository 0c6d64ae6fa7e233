import { attribute } from "../../ffi/netlink/reader.ts";
import * as nft from "../nf_tables/constants.ts";
import { tableFamilyOfProtocol } from "../nf_tables/families.ts";
import type { TransactionReader } from "../nf_tables/watch.ts";
import { TABLE } from "./names.ts";

/** Sees what a transaction of someone else does to our tables. */
export class TableReader implements TransactionReader {
  /** By family. */
  readonly #touched = new Map<string, "changed" | "deleted">();

  read(type: number, nfproto: number, payload: Uint8Array): void {
    // The first attribute of every notification is the table's name.
    if (attribute(payload, nft.NFTA_TABLE_NAME, nft.NFGENMSG_LENGTH)?.string() !== TABLE) return;
    const family = tableFamilyOfProtocol(nfproto);
    if (family === undefined) return;
    // A deleted table is notified after its contents.
    if (type === nft.NFT_MSG_DELTABLE || !this.#touched.has(family.keyword)) {
      this.#touched.set(family.keyword, type === nft.NFT_MSG_DELTABLE ? "deleted" : "changed");
    }
  }

  end(): string | undefined {
    if (this.#touched.size === 0) return undefined;
    const what = [...this.#touched].map(([keyword, how]) => `table ${keyword} ${TABLE} ${how}`).join(", ");
    this.#touched.clear();
    return what;
  }
}
