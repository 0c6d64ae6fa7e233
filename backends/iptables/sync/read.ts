import type { NetlinkClient } from "../../../ffi/netlink/client.ts";
import { attributes, type NetlinkMessage } from "../../../ffi/netlink/reader.ts";
import type { MessageWriter } from "../../../ffi/netlink/writer.ts";
import { NFGENMSG_BYTES } from "../../../ffi/netlink/nfnetlink.ts";
import * as nft from "../../nf_tables/constants.ts";
import { dumpRequest } from "../../nf_tables/dump.ts";
import type { TableFamily } from "../../nf_tables/families.ts";
import type { TableName } from "../rules/layout.ts";

/** Names of the chains in the tables of iptables, for one family. Missing and empty tables look alike. */
export type ActualChains = Readonly<Record<TableName, Set<string>>>;

/** A rule that the kernel holds. */
export interface ActualRule {
  readonly handle: number;
  /** The value of NFTA_RULE_EXPRESSIONS: a view into the received datagram, which is not reused. */
  readonly expressions: Uint8Array;
  /** The value of NFTA_RULE_USERDATA, likewise; undefined if the rule has none. */
  readonly userdata: Uint8Array | undefined;
}

/** The rules of a chain in order. */
export interface RuleListing {
  readonly rules: readonly ActualRule[];
  /** False if nf_tables changed during every attempt to list them, so that some may be missing. */
  readonly isComplete: boolean;
}

/** Attempts to read a list that does not change meanwhile. The last attempt is used as it is. */
const ATTEMPTS = 5;

/** Reads the tables of iptables of one family from the kernel. */
export class TablesReader {
  readonly #client: NetlinkClient;
  readonly #family: TableFamily;
  readonly #options: { readonly inBackground?: boolean };

  /** @param options `inBackground` lets other work run between the answers. */
  constructor(
    client: NetlinkClient,
    family: TableFamily,
    options: { readonly inBackground?: boolean } = {},
  ) {
    this.#client = client;
    this.#family = family;
    this.#options = options;
  }

  async chains(): Promise<ActualChains> {
    const actual: ActualChains = { filter: new Set(), nat: new Set(), mangle: new Set() };
    const operation = `list chains of family ${this.#family.keyword}`;
    // Chains of an interrupted listing may be gone.
    const begin = () => Object.values(actual).forEach((chains) => chains.clear());
    await this.#visit(nft.NFT_MSG_GETCHAIN, operation, begin, ({ payload }) => {
      let chains: Set<string> | undefined;
      for (const attribute of attributes(payload, NFGENMSG_BYTES)) {
        // The kernel writes the table's name first.
        if (attribute.type === nft.NFTA_CHAIN_TABLE) chains = chainsOf(actual, attribute.string());
        if (chains === undefined) return;
        if (attribute.type === nft.NFTA_CHAIN_NAME) return void chains.add(attribute.string());
      }
    });
    return actual;
  }

  /** The rules of a chain in order; empty if there is no such chain. */
  async rules(table: TableName, chain: string): Promise<readonly ActualRule[]> {
    return (await this.listing(table, chain)).rules;
  }

  /** The rules of a chain; empty if there is no such chain. */
  async listing(table: TableName, chain: string): Promise<RuleListing> {
    let rules: ActualRule[] = [];
    const operation = `list the rules of chain ${chain} of table ${this.#family.keyword} ${table}`;
    const begin = (message: MessageWriter) => {
      rules = [];
      message.attrLatin1(nft.NFTA_RULE_TABLE, `${table}\0`);
      message.attrLatin1(nft.NFTA_RULE_CHAIN, `${chain}\0`);
    };
    const isComplete = await this.#visit(nft.NFT_MSG_GETRULE, operation, begin, ({ payload }) => {
      let handle = 0;
      let expressions: Uint8Array = NO_EXPRESSIONS;
      let userdata: Uint8Array | undefined;
      for (const attribute of attributes(payload, NFGENMSG_BYTES)) {
        if (attribute.type === nft.NFTA_RULE_HANDLE) handle = Number(attribute.u64be());
        else if (attribute.type === nft.NFTA_RULE_EXPRESSIONS) expressions = attribute.bytes;
        else if (attribute.type === nft.NFTA_RULE_USERDATA) userdata = attribute.bytes;
      }
      rules.push({ handle, expressions, userdata });
    });
    return { rules, isComplete };
  }

  /** @returns false if every attempt was interrupted by a change of nf_tables. */
  async #visit(
    type: number,
    operation: string,
    filter: (message: MessageWriter) => void,
    each: (message: NetlinkMessage) => void,
  ): Promise<boolean> {
    const request = dumpRequest(this.#family, type, filter);
    for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
      const { interrupted } = await this.#client.dumpEach(operation, request, each, this.#options);
      if (!interrupted) return true;
    }
    return false;
  }
}

const NO_EXPRESSIONS = new Uint8Array();

function chainsOf(actual: ActualChains, table: string): Set<string> | undefined {
  return table === "filter" || table === "nat" || table === "mangle" ? actual[table] : undefined;
}
