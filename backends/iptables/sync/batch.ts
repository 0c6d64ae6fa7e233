import type { Family } from "../../../core/net/protocol.ts";
import type { PlanKey } from "../../../core/plan/plan.ts";
import { NLM_F_APPEND, NLM_F_CREATE } from "../../../ffi/netlink/constants.ts";
import type { MessageWriter } from "../../../ffi/netlink/writer.ts";
import { Batch } from "../../nf_tables/batch.ts";
import * as nft from "../../nf_tables/constants.ts";
import type { TableFamily } from "../../nf_tables/families.ts";
import type { BaseChain } from "../rules/base_chains.ts";
import { writeRule } from "../wire/encode.ts";
import type { TableName } from "../rules/layout.ts";
import type { Rule } from "../rules/rule.ts";
import { RuleCounts } from "../rule_counts.ts";

/** A batch of changes to the tables of iptables. It knows whom each change is for. */
export class RuleBatch extends Batch {
  readonly #startSeq: number;
  /** Rules added so far. */
  readonly written: Readonly<Record<Family, RuleCounts>> = { IPv4: new RuleCounts(), IPv6: new RuleCounts() };
  /** Where the changes for each service port begin. */
  readonly #owners: { readonly from: number; readonly key: PlanKey | undefined }[] = [];

  constructor(message: MessageWriter, firstSeq: number) {
    super(message, firstSeq);
    this.#startSeq = firstSeq;
  }

  /** The changes from here on are for this service port; undefined: for all. */
  setOwner(key: PlanKey | undefined): void {
    this.#owners.push({ from: this.#startSeq + this.count, key });
  }

  /** Whom the message with this number is for. */
  ownerOf(seq: number): PlanKey | undefined {
    return this.#owners.findLast(({ from }) => from <= seq)?.key;
  }

  /** No error when it exists. */
  addTable(family: TableFamily, table: TableName): void {
    this.write(family.nfproto, nft.NFT_MSG_NEWTABLE, NLM_F_CREATE, (message) => {
      message.attrString(nft.NFTA_TABLE_NAME, table);
      message.attrU32be(nft.NFTA_TABLE_FLAGS, 0);
    });
  }

  /** One that packets enter from a hook. Its policy is ACCEPT, as iptables makes it. */
  addBaseChain(family: TableFamily, { table, name, type, hook, priority }: BaseChain): void {
    this.write(family.nfproto, nft.NFT_MSG_NEWCHAIN, NLM_F_CREATE, (message) => {
      message.attrString(nft.NFTA_CHAIN_TABLE, table);
      message.attrString(nft.NFTA_CHAIN_NAME, name);
      message.attrString(nft.NFTA_CHAIN_TYPE, type);
      message.attrU32be(nft.NFTA_CHAIN_POLICY, nft.NF_ACCEPT);
      message.nest(nft.NFTA_CHAIN_HOOK, () => {
        message.attrU32be(nft.NFTA_HOOK_HOOKNUM, hook);
        message.attrU32be(nft.NFTA_HOOK_PRIORITY, priority >>> 0);
      });
    });
  }

  /** Without rules. No error when it exists, and then it keeps those it has. */
  addChain(family: TableFamily, table: TableName, name: string): void {
    this.write(family.nfproto, nft.NFT_MSG_NEWCHAIN, NLM_F_CREATE, (message) => {
      message.attrLatin1(nft.NFTA_CHAIN_TABLE, `${table}\0`);
      message.attrLatin1(nft.NFTA_CHAIN_NAME, `${name}\0`);
    });
  }

  /** With its rules. No rule may jump to it any more: EBUSY. */
  deleteChain(family: TableFamily, table: TableName, name: string): void {
    this.write(family.nfproto, nft.NFT_MSG_DELCHAIN, 0, (message) => {
      message.attrLatin1(nft.NFTA_CHAIN_TABLE, `${table}\0`);
      message.attrLatin1(nft.NFTA_CHAIN_NAME, `${name}\0`);
    });
  }

  /** Deletes the rules of a chain. */
  flushChain(family: TableFamily, table: TableName, name: string): void {
    this.write(family.nfproto, nft.NFT_MSG_DELRULE, 0, (message) => {
      message.attrLatin1(nft.NFTA_RULE_TABLE, `${table}\0`);
      message.attrLatin1(nft.NFTA_RULE_CHAIN, `${name}\0`);
    });
  }

  appendRule(family: TableFamily, table: TableName, chain: string, rule: Rule): void {
    this.#addRule(family, NLM_F_CREATE | NLM_F_APPEND, table, chain, rule);
  }

  /** At the head of the chain. */
  insertRule(family: TableFamily, table: TableName, chain: string, rule: Rule): void {
    this.#addRule(family, NLM_F_CREATE, table, chain, rule);
  }

  deleteRule(family: TableFamily, table: TableName, chain: string, handle: number): void {
    this.write(family.nfproto, nft.NFT_MSG_DELRULE, 0, (message) => {
      message.attrLatin1(nft.NFTA_RULE_TABLE, `${table}\0`);
      message.attrLatin1(nft.NFTA_RULE_CHAIN, `${chain}\0`);
      message.attrU64be(nft.NFTA_RULE_HANDLE, handle);
    });
  }

  #addRule(family: TableFamily, flags: number, table: TableName, chain: string, rule: Rule): void {
    this.written[family.family].add(table, 1);
    this.write(family.nfproto, nft.NFT_MSG_NEWRULE, flags, (message) => {
      message.attrLatin1(nft.NFTA_RULE_TABLE, `${table}\0`);
      message.attrLatin1(nft.NFTA_RULE_CHAIN, `${chain}\0`);
      writeRule(message, family, rule);
    });
  }
}
