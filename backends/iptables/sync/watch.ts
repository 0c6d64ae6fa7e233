import { attribute } from "../../../ffi/netlink/reader.ts";
import { NFGENMSG_BYTES } from "../../../ffi/netlink/nfnetlink.ts";
import * as nft from "../../nf_tables/constants.ts";
import { tableFamilyOfProtocol } from "../../nf_tables/families.ts";
import type { Author, TransactionReader } from "../../nf_tables/watch.ts";
import { BUILT_IN_CHAINS, describeChain, type TableName, TABLES } from "../rules/layout.ts";
import { isOurChain, KUBE_FIREWALL } from "../rules/names.ts";

/** A report names this many chains at most. */
const MAX_NAMES = 3;

/** Finds the changes of our chains in foreign transactions. The tables are shared with other programs. */
export class ChainReader implements TransactionReader {
  readonly #touched = new Set<string>();
  #hasUnknownDeletions = false;
  readonly #onUnknownDeletions: (author?: Author) => void;

  /**
   * @param onUnknownDeletions called when deleted rules may have been ours: the kernel notifies only their
   * handles.
   */
  constructor(onUnknownDeletions: (author?: Author) => void) {
    this.#onUnknownDeletions = onUnknownDeletions;
  }

  read(type: number, nfproto: number, payload: Uint8Array): void {
    // iptables has no sets. Those of others can have hundreds of thousands of elements.
    if (type === nft.NFT_MSG_NEWSETELEM || type === nft.NFT_MSG_DELSETELEM) return;
    const family = tableFamilyOfProtocol(nfproto);
    const table = tableNamed(attribute(payload, nft.NFTA_TABLE_NAME, NFGENMSG_BYTES)?.string());
    if (family === undefined || table === undefined) return;
    if (type === nft.NFT_MSG_DELTABLE) {
      this.#touched.add(`table ${family.keyword} ${table}`);
      return;
    }
    const chain = chainNamed(type, payload);
    if (chain === undefined) return;
    if (isOurChain(table, chain)) this.#touched.add(describeChain(family, { table, name: chain }));
    else if (isMixed(chain) && (type === nft.NFT_MSG_DELRULE || type === nft.NFT_MSG_DELCHAIN)) {
      this.#hasUnknownDeletions = true;
    }
  }

  end(findAuthor?: () => Author): string | undefined {
    const names = [...this.#touched];
    const hasUnknownDeletions = this.#hasUnknownDeletions;
    this.#touched.clear();
    this.#hasUnknownDeletions = false;
    if (names.length === 0) {
      if (hasUnknownDeletions) this.#onUnknownDeletions(findAuthor?.());
      return undefined;
    }
    const more = names.length > MAX_NAMES ? ` and ${names.length - MAX_NAMES} more` : "";
    return `${names.slice(0, MAX_NAMES).join(", ")}${more} changed`;
  }
}

function chainNamed(type: number, payload: Uint8Array): string | undefined {
  const isRule = type === nft.NFT_MSG_NEWRULE || type === nft.NFT_MSG_DELRULE;
  const isChain = type === nft.NFT_MSG_NEWCHAIN || type === nft.NFT_MSG_DELCHAIN;
  if (!isRule && !isChain) return undefined;
  return attribute(payload, isRule ? nft.NFTA_RULE_CHAIN : nft.NFTA_CHAIN_NAME, NFGENMSG_BYTES)
    ?.string();
}

function tableNamed(name: string | undefined): TableName | undefined {
  return TABLES.find((table) => table === name);
}

/** Reports whether the chain can have rules of ours and foreign rules. */
function isMixed(chain: string): boolean {
  return BUILT_IN_CHAINS.includes(chain) || chain === KUBE_FIREWALL;
}
