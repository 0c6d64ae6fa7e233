import type { Family } from "../../../core/net/protocol.ts";
import type { PlanKey } from "../../../core/plan/plan.ts";
import { NLM_F_APPEND, NLM_F_CREATE } from "../../../ffi/netlink/constants.ts";
import type { MessageWriter } from "../../../ffi/netlink/writer.ts";
import { Batch } from "../../nf_tables/batch.ts";
import * as nft from "../../nf_tables/constants.ts";
import type { TableFamily } from "../../nf_tables/families.ts";
import { RuleCounts } from "../rule_counts.ts";
import type { BuiltInChain, TableName } from "../rules/layout.ts";
import type { IptablesRule } from "../rules/rule.ts";
import { writeRule } from "../wire/encode.ts";
import { writeListedRule } from "../wire/listed_rule.ts";
import type { ActualRule } from "./read.ts";

/** A batch of changes to the tables of iptables. It records which service port each change belongs to. */
export class RuleBatch extends Batch {
  readonly #startSeq: number;
  /** Numbers of rules added so far. */
  readonly written: Readonly<Record<Family, RuleCounts>> = { IPv4: new RuleCounts(), IPv6: new RuleCounts() };
  /** The owners of runs of messages; `from` is the number of the first message of a run. */
  readonly #owners: { readonly from: number; readonly key: PlanKey | undefined }[] = [];

  /** Runs of messages that add listed rules again, by the numbers of messages. */
  readonly #restored: { readonly from: number; readonly end: number }[] = [];
  /** False if the kernel rejected a listed rule, so that shared chains must be changed by single rules. */
  mayRestore = true;

  constructor(message: MessageWriter, firstSeq: number) {
    super(message, firstSeq);
    this.#startSeq = firstSeq;
  }

  /**
   * Sets the service port that the following changes belong to; undefined for changes of no particular one.
   */
  setOwner(key: PlanKey | undefined): void {
    this.#owners.push({ from: this.#startSeq + this.count, key });
  }

  /** The service port that the message with this number belongs to. */
  ownerOf(seq: number): PlanKey | undefined {
    return this.#owners.findLast(({ from }) => from <= seq)?.key;
  }

  /** Adds a table. An existing one is no error. */
  addTable(family: TableFamily, table: TableName): void {
    this.write(family.nfproto, nft.NFT_MSG_NEWTABLE, NLM_F_CREATE, (message) => {
      message.attrString(nft.NFTA_TABLE_NAME, table);
      message.attrU32be(nft.NFTA_TABLE_FLAGS, 0);
    });
  }

  /** Adds a built-in chain with policy ACCEPT, as iptables does. */
  addBuiltInChain(family: TableFamily, { table, name, type, hook, priority }: BuiltInChain): void {
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

  /** Adds a chain without rules. An existing one is no error and keeps its rules. */
  addChain(family: TableFamily, table: TableName, name: string): void {
    this.write(family.nfproto, nft.NFT_MSG_NEWCHAIN, NLM_F_CREATE, (message) => {
      message.attrLatin1(nft.NFTA_CHAIN_TABLE, `${table}\0`);
      message.attrLatin1(nft.NFTA_CHAIN_NAME, `${name}\0`);
    });
  }

  /** Deletes a chain with its rules. The kernel rejects it with EBUSY if a rule jumps to the chain. */
  deleteChain(family: TableFamily, table: TableName, name: string): void {
    this.write(family.nfproto, nft.NFT_MSG_DELCHAIN, 0, (message) => {
      message.attrLatin1(nft.NFTA_CHAIN_TABLE, `${table}\0`);
      message.attrLatin1(nft.NFTA_CHAIN_NAME, `${name}\0`);
    });
  }

  /** Deletes all rules of a chain. */
  flushChain(family: TableFamily, table: TableName, name: string): void {
    this.write(family.nfproto, nft.NFT_MSG_DELRULE, 0, (message) => {
      message.attrLatin1(nft.NFTA_RULE_TABLE, `${table}\0`);
      message.attrLatin1(nft.NFTA_RULE_CHAIN, `${name}\0`);
    });
  }

  appendRule(family: TableFamily, table: TableName, chain: string, rule: IptablesRule): void {
    this.#addRule(family, NLM_F_CREATE | NLM_F_APPEND, table, chain, rule);
  }

  /** Adds a rule at the head of the chain. */
  insertRule(family: TableFamily, table: TableName, chain: string, rule: IptablesRule): void {
    this.#addRule(family, NLM_F_CREATE, table, chain, rule);
  }

  deleteRule(family: TableFamily, table: TableName, chain: string, handle: number): void {
    this.write(family.nfproto, nft.NFT_MSG_DELRULE, 0, (message) => {
      message.attrLatin1(nft.NFTA_RULE_TABLE, `${table}\0`);
      message.attrLatin1(nft.NFTA_RULE_CHAIN, `${chain}\0`);
      message.attrU64be(nft.NFTA_RULE_HANDLE, handle);
    });
  }

  /** Adds listed rules again behind the others of the chain, which was flushed. */
  restoreRules(family: TableFamily, table: TableName, chain: string, rules: readonly ActualRule[]): void {
    const from = this.#startSeq + this.count;
    this.#restored.push({ from, end: from + rules.length });
    this.written[family.family].add(table, rules.length);
    for (const rule of rules) {
      this.write(family.nfproto, nft.NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, (message) => {
        message.attrLatin1(nft.NFTA_RULE_TABLE, `${table}\0`);
        message.attrLatin1(nft.NFTA_RULE_CHAIN, `${chain}\0`);
        writeListedRule(message, rule);
      });
    }
  }

  /** Reports whether the message with this number adds a listed rule again. */
  restores(seq: number): boolean {
    return this.#restored.some(({ from, end }) => from <= seq && seq < end);
  }

  #addRule(family: TableFamily, flags: number, table: TableName, chain: string, rule: IptablesRule): void {
    this.written[family.family].add(table, 1);
    this.write(family.nfproto, nft.NFT_MSG_NEWRULE, flags, (message) => {
      message.attrLatin1(nft.NFTA_RULE_TABLE, `${table}\0`);
      message.attrLatin1(nft.NFTA_RULE_CHAIN, `${chain}\0`);
      writeRule(message, family, rule);
    });
  }
}

/**
 * When a batch of a stream has this many bytes it is sent, and the next one is written while the kernel
 * processes it. The kernel takes twice as long for a batch as we take to write it.
 */
const SPLIT_BYTES = 8 * 1024 * 1024;
/** More than the rules of one service port with a thousand endpoints. */
const SLACK_BYTES = 1024 * 1024;

/** A sequence of changes in one transaction, or in several, split where the writer allows it. */
export class BatchStream implements AsyncDisposable {
  readonly #begin: (bytes: number) => RuleBatch;
  readonly #commit: (batch: RuleBatch) => Promise<void>;
  #inFlight: Promise<void> = Promise.resolve();
  #batch: RuleBatch;
  /** Numbers of rules written in all batches, by family. */
  readonly written = { IPv4: new RuleCounts(), IPv6: new RuleCounts() };

  /** @param commit sends a batch to the kernel; it rejects when the kernel rejects the batch. */
  constructor(begin: (bytes: number) => RuleBatch, commit: (batch: RuleBatch) => Promise<void>) {
    this.#begin = begin;
    this.#commit = commit;
    this.#batch = begin(SPLIT_BYTES + SLACK_BYTES);
  }

  /** The batch that the next change is to be written to. */
  get batch(): RuleBatch {
    return this.#batch;
  }

  /**
   * Allows a split: what was written so far may be in force without what follows.
   * @throws the error of an earlier batch that was in flight.
   */
  async allowSplit(): Promise<void> {
    if (this.#batch.bytes < SPLIT_BYTES) return;
    await this.#inFlight;
    this.#send();
    this.#batch = this.#begin(SPLIT_BYTES + SLACK_BYTES);
  }

  /** Sends the rest and waits for the kernel's answer. */
  async finish(): Promise<void> {
    await this.#inFlight;
    this.#send();
    await this.#inFlight;
  }

  /** Waits for the kernel's answer in any case, because the socket can be used for nothing else before. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#inFlight.catch(() => {});
  }

  #send(): void {
    this.written.IPv4.addAll(this.#batch.written.IPv4);
    this.written.IPv6.addAll(this.#batch.written.IPv6);
    this.#inFlight = this.#commit(this.#batch);
    // The promise is awaited later. Until then its rejection must not end the process.
    this.#inFlight.catch(() => {});
  }
}
