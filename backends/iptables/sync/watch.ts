import { attribute } from "../../../ffi/netlink/reader.ts";
import { NFGENMSG_BYTES } from "../../../ffi/netlink/nfnetlink.ts";
import * as nft from "../../nf_tables/constants.ts";
import { tableFamilyOfProtocol } from "../../nf_tables/families.ts";
import type { TransactionReader } from "../../nf_tables/watch.ts";
import { chainInWords } from "./describe_chain.ts";
import { type TableName, tables } from "../rules/layout.ts";
import { isOurChain, KUBE_FIREWALL } from "../rules/names.ts";

/** More chains than these are not named. */
const MOST_NAMES = 3;

/** Sees what a transaction of someone else does to our chains in the tables that all programs share. */
export class ChainReader implements TransactionReader {
  readonly #touched = new Set<string>();
  #isDoubtful = false;
  readonly #onDoubt: () => void;

  /** @param onDoubt a rule went that may have been one of our jumps: the kernel tells no more than its handle. */
  constructor(onDoubt: () => void) {
    this.#onDoubt = onDoubt;
  }

  read(type: number, nfproto: number, payload: Uint8Array): void {
    const family = tableFamilyOfProtocol(nfproto);
    const table = tableNamed(attribute(payload, nft.NFTA_TABLE_NAME, NFGENMSG_BYTES)?.string());
    if (family === undefined || table === undefined) return;
    if (type === nft.NFT_MSG_DELTABLE) {
      this.#touched.add(`table ${family.keyword} ${table}`);
      return;
    }
    const chain = chainNamed(type, payload);
    if (chain === undefined) return;
    if (isOurChain(table, chain)) this.#touched.add(chainInWords(family, { table, name: chain }));
    else if (isBase(chain) && (type === nft.NFT_MSG_DELRULE || type === nft.NFT_MSG_DELCHAIN)) {
      this.#isDoubtful = true;
    }
  }

  end(): string | undefined {
    const names = [...this.#touched];
    const isDoubtful = this.#isDoubtful;
    this.#touched.clear();
    this.#isDoubtful = false;
    if (names.length === 0) {
      if (isDoubtful) this.#onDoubt();
      return undefined;
    }
    const more = names.length > MOST_NAMES ? ` and ${names.length - MOST_NAMES} more` : "";
    return `${names.slice(0, MOST_NAMES).join(", ")}${more} changed`;
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
  return tables.find((table) => table === name);
}

/** Chains that others write to, too, and that have rules of ours in them. */
function isBase(chain: string): boolean {
  return ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING", KUBE_FIREWALL].includes(chain);
}
