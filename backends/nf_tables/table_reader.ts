import { attribute } from "../../ffi/netlink/reader.ts";
import { NFGENMSG_BYTES } from "../../ffi/netlink/nfnetlink.ts";
import * as nft from "./constants.ts";
import { tableFamilyOfProtocol } from "./families.ts";
import type { TransactionReader } from "./watch.ts";

/** Sees what a transaction of someone else does to the tables of one name. */
export class TableReader implements TransactionReader {
  readonly #table: string;
  /** By family. */
  readonly #touched = new Map<string, "changed" | "deleted">();

  constructor(table: string) {
    this.#table = table;
  }

  read(type: number, nfproto: number, payload: Uint8Array): void {
    // The first attribute of every notification is the table's name.
    if (attribute(payload, nft.NFTA_TABLE_NAME, NFGENMSG_BYTES)?.string() !== this.#table) return;
    const family = tableFamilyOfProtocol(nfproto);
    if (family === undefined) return;
    // A deleted table is notified after its contents.
    if (type === nft.NFT_MSG_DELTABLE || !this.#touched.has(family.keyword)) {
      this.#touched.set(family.keyword, type === nft.NFT_MSG_DELTABLE ? "deleted" : "changed");
    }
  }

  end(): string | undefined {
    if (this.#touched.size === 0) return undefined;
    const what = [...this.#touched].map(([keyword, how]) => `table ${keyword} ${this.#table} ${how}`).join(
      ", ",
    );
    this.#touched.clear();
    return what;
  }
}
