import { NLMSG_HDRLEN } from "../../../ffi/netlink/constants.ts";
import {
  type Acknowledgement,
  attribute,
  messages,
  type NetlinkMessage,
} from "../../../ffi/netlink/reader.ts";
import { NFGENMSG_BYTES, NFNL_SUBSYS_NFTABLES } from "../../../ffi/netlink/nfnetlink.ts";
import * as nft from "../../nf_tables/constants.ts";
import { type TableFamily, tableFamilyOfProtocol } from "../../nf_tables/families.ts";
import { type TableName, TABLES } from "../rules/layout.ts";

/**
 * A change of a batch that the kernel rejected, decoded from the message with the sequence number of the
 * answer.
 */
export interface RejectedChange {
  /** Attempted operation: `add a rule to chain KUBE-SERVICES of table ip nat`. */
  readonly operation: string;
  /** The chain that was to be changed. */
  readonly chain:
    | { readonly family: TableFamily; readonly table: TableName; readonly name: string }
    | undefined;
  readonly isChainDeletion: boolean;
  /** The extension of a new rule that the kernel rejected: `match sctp` or `target DNAT`. */
  readonly extension: string | undefined;
}

export function rejectedChange(batch: Uint8Array, answer: Acknowledgement): RejectedChange {
  for (const message of messages(batch)) {
    if (message.seq === answer.seq && message.type >> 8 === NFNL_SUBSYS_NFTABLES) {
      return decodeChange(message, answer.offset);
    }
  }
  return { operation: "change nf_tables", chain: undefined, isChainDeletion: false, extension: undefined };
}

function decodeChange({ type, payload }: NetlinkMessage, offset: number | undefined): RejectedChange {
  const name = (type: number) => attribute(payload, type, NFGENMSG_BYTES)?.string() ?? "";
  const kind = type & 0xff;
  const family = tableFamilyOfProtocol(payload[0] ?? 0);
  // The table's name has the same attribute type in all messages.
  const tableName = name(nft.NFTA_TABLE_NAME);
  const table = TABLES.find((one) => one === tableName);
  const of = `table ${family?.keyword ?? ""} ${tableName}`;
  const about = (operation: string, chain?: string): RejectedChange => ({
    operation,
    chain: family === undefined || table === undefined || chain === undefined
      ? undefined
      : { family, table, name: chain },
    isChainDeletion: kind === nft.NFT_MSG_DELCHAIN,
    extension: kind === nft.NFT_MSG_NEWRULE ? extensionAt(payload, offset) : undefined,
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

/** @param offset the position of the rejected expression, from the beginning of the message. */
function extensionAt(payload: Uint8Array, offset: number | undefined): string | undefined {
  if (offset === undefined) return undefined;
  const expressions = attribute(payload, nft.NFTA_RULE_EXPRESSIONS, NFGENMSG_BYTES)?.attributes() ?? [];
  for (const expression of expressions) {
    const end = expression.bytes.byteOffset + expression.bytes.length - payload.byteOffset + NLMSG_HDRLEN;
    if (offset >= end) continue;
    const kind = expression.attribute(nft.NFTA_EXPR_NAME)?.string();
    const data = expression.attribute(nft.NFTA_EXPR_DATA);
    if (kind === "match") return `match ${data?.attribute(nft.NFTA_MATCH_NAME)?.string()}`;
    return kind === "target" ? `target ${data?.attribute(nft.NFTA_TARGET_NAME)?.string()}` : undefined;
  }
  return undefined;
}
