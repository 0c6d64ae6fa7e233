import type { NetlinkClient } from "../../../ffi/netlink/client.ts";
import { NLM_F_DUMP, NLM_F_REQUEST } from "../../../ffi/netlink/constants.ts";
import { attributes, type NetlinkMessage } from "../../../ffi/netlink/reader.ts";
import type { MessageWriter } from "../../../ffi/netlink/writer.ts";
import { nfgenmsg, NFGENMSG_BYTES, NFNL_SUBSYS_NFTABLES } from "../../../ffi/netlink/nfnetlink.ts";
import * as nft from "../../nf_tables/constants.ts";
import type { TableFamily } from "../../nf_tables/families.ts";
import type { TableName } from "../rules/layout.ts";

/** The names of the chains there are in iptables' tables of one family. A table without chains is not seen. */
export type FoundChains = Readonly<Record<TableName, Set<string>>>;

/** A rule as the kernel holds it. */
export interface FoundRule {
  readonly handle: number;
  /** The value of NFTA_RULE_EXPRESSIONS: a view into a datagram that nobody else holds. */
  readonly expressions: Uint8Array;
}

/** How often something is read again when it changed meanwhile; then it is taken as it was seen. */
const ATTEMPTS = 5;

/** Reads iptables' tables of one family back from the kernel. */
export class TablesReader {
  readonly #client: NetlinkClient;
  readonly #family: TableFamily;

  constructor(client: NetlinkClient, family: TableFamily) {
    this.#client = client;
    this.#family = family;
  }

  async chains(): Promise<FoundChains> {
    const found: FoundChains = { filter: new Set(), nat: new Set(), mangle: new Set() };
    const operation = `list chains of family ${this.#family.keyword}`;
    // What an interrupted listing told may be gone.
    const begin = () => Object.values(found).forEach((chains) => chains.clear());
    await this.#visit(nft.NFT_MSG_GETCHAIN, operation, begin, ({ payload }) => {
      let chains: Set<string> | undefined;
      for (const attribute of attributes(payload, NFGENMSG_BYTES)) {
        // The kernel writes the table's name first.
        if (attribute.type === nft.NFTA_CHAIN_TABLE) chains = chainsOf(found, attribute.string());
        if (chains === undefined) return;
        if (attribute.type === nft.NFTA_CHAIN_NAME) return void chains.add(attribute.string());
      }
    });
    return found;
  }

  /** In their order; none when there is no such chain. */
  async rules(table: TableName, chain: string): Promise<readonly FoundRule[]> {
    let rules: FoundRule[] = [];
    const operation = `list the rules of chain ${chain} of table ${this.#family.keyword} ${table}`;
    const begin = (message: MessageWriter) => {
      rules = [];
      message.attrLatin1(nft.NFTA_RULE_TABLE, `${table}\0`);
      message.attrLatin1(nft.NFTA_RULE_CHAIN, `${chain}\0`);
    };
    await this.#visit(nft.NFT_MSG_GETRULE, operation, begin, ({ payload }) => {
      let handle = 0;
      let expressions: Uint8Array = none;
      for (const attribute of attributes(payload, NFGENMSG_BYTES)) {
        if (attribute.type === nft.NFTA_RULE_HANDLE) handle = Number(attribute.u64be());
        else if (attribute.type === nft.NFTA_RULE_EXPRESSIONS) expressions = attribute.bytes;
      }
      rules.push({ handle, expressions });
    });
    return rules;
  }

  async #visit(
    type: number,
    operation: string,
    begin: (message: MessageWriter) => void,
    each: (message: NetlinkMessage) => void,
  ): Promise<void> {
    const write = (message: MessageWriter, seq: number) => {
      message.begin(NFNL_SUBSYS_NFTABLES << 8 | type, NLM_F_REQUEST | NLM_F_DUMP, seq);
      nfgenmsg(message, this.#family.nfproto, 0);
      begin(message);
      message.end();
    };
    for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
      const { interrupted } = await this.#client.dumpEach(operation, write, each);
      if (!interrupted) return;
    }
  }
}

const none = new Uint8Array();

function chainsOf(found: FoundChains, table: string): Set<string> | undefined {
  return table === "filter" || table === "nat" || table === "mangle" ? found[table] : undefined;
}
