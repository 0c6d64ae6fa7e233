import { type Acknowledgement, attribute, messages, type NetlinkMessage } from "../../ffi/netlink/reader.ts";
import * as nft from "../nf_tables/constants.ts";
import { tableFamilyOfProtocol } from "../nf_tables/families.ts";
import { type TableName, tables } from "./layout.ts";

/** What the kernel refused of a batch, found again by the number of the message. */
export interface Refused {
  /** What was attempted: `add a rule to chain KUBE-SERVICES of table ip nat`. */
  readonly words: string;
  /** Of the chain it is about. */
  readonly chain: { readonly table: TableName; readonly name: string } | undefined;
  readonly isChainDeletion: boolean;
}

export function refusedOf(batch: Uint8Array, answer: Acknowledgement): Refused {
  for (const message of messages(batch)) {
    if (message.seq === answer.seq && message.type >> 8 === nft.NFNL_SUBSYS_NFTABLES) return refused(message);
  }
  return { words: "change nf_tables", chain: undefined, isChainDeletion: false };
}

function refused({ type, payload }: NetlinkMessage): Refused {
  const name = (type: number) => attribute(payload, type, nft.NFGENMSG_LENGTH)?.string() ?? "";
  const kind = type & 0xff;
  // All of these have the table's name in the same place.
  const tableName = name(nft.NFTA_TABLE_NAME);
  const table = tables.find((one) => one === tableName);
  const of = `table ${tableFamilyOfProtocol(payload[0] ?? 0)?.keyword ?? ""} ${tableName}`;
  const about = (words: string, chain?: string): Refused => ({
    words,
    chain: table === undefined || chain === undefined ? undefined : { table, name: chain },
    isChainDeletion: kind === nft.NFT_MSG_DELCHAIN,
  });
  switch (kind) {
    case nft.NFT_MSG_NEWTABLE:
      return about(`add ${of}`);
    case nft.NFT_MSG_NEWCHAIN:
    case nft.NFT_MSG_DELCHAIN: {
      const chain = name(nft.NFTA_CHAIN_NAME);
      return about(`${kind === nft.NFT_MSG_NEWCHAIN ? "add" : "delete"} chain ${chain} of ${of}`, chain);
    }
    case nft.NFT_MSG_NEWRULE: {
      const chain = name(nft.NFTA_RULE_CHAIN);
      return about(`add a rule to chain ${chain} of ${of}`, chain);
    }
    default: {
      const chain = name(nft.NFTA_RULE_CHAIN);
      return about(`delete rules of chain ${chain} of ${of}`, chain);
    }
  }
}
